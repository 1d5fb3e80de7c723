"""Prompt files: NAME.txt holds a jinja2 template, NAME.json beside it the schema of the answer.

A version is a folder (`prompts/v1`). Once a version has labelled data it is never edited: a new wording is a
new folder, so that the hash in the provenance of old labels still finds its text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import jsonschema

from embodied_cf.errors import UsageError
from embodied_cf.vlm.question import Json, Prompt

SHIPPED = Path(__file__).parent / "prompts" / "v1"
NAMES = ("describe", "summarise", "filter", "propose")
_READ: Mapping[str, frozenset[str]] = {
    "describe": frozenset({"description", "objects", "name", "box"}),
    "summarise": frozenset({"instructions", "instruction", "reason"}),
    "filter": frozenset({"keep", "confidence", "reason"}),
    "propose": frozenset({"proposals", "command", "instruction", "object", "reason"}),
}
"""Properties that our code reads from the answers; own prompts may ask for more."""
_FILLED: Mapping[str, frozenset[str]] = {
    "filter": frozenset({"verdict"}),
    "propose": frozenset({"command", "object"}),
}
"""Definitions that our code uses to make the schema of one request."""


def load_prompts(directory: Path = SHIPPED, names: Sequence[str] = NAMES) -> Mapping[str, Prompt]:
    """Return the named prompts of `directory`. Raises UsageError naming the file that is absent or broken."""
    return {name: load_prompt(directory, name) for name in names}


def load_prompt(directory: Path, name: str) -> Prompt:
    """Return one prompt. Raises UsageError naming the file that is absent or broken."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise UsageError(f"not a prompt name: {name!r}", remedy="Use up to 64 letters, digits, _ and -.")
    path = directory / f"{name}.json"
    schema = _parse_schema(_read(path), path)
    missing = sorted(_READ.get(name, frozenset()) - _required(schema))
    missing += [f"$defs/{key}" for key in sorted(_FILLED.get(name, frozenset()) - set(schema.get("$defs", {})))]
    if missing:
        raise UsageError(
            f"the schema lacks {', '.join(missing)}",
            where=path,
            remedy="Own prompts may reword and add; what is read from the answers must be required.",
        )
    return Prompt(name, _read(directory / f"{name}.txt"), schema)


def _required(node: object) -> set[str]:
    """Return each property that some object within the schema requires."""
    if isinstance(node, Mapping):
        own = node.get("required")
        return set(own if isinstance(own, list) else ()).union(*map(_required, node.values()))
    return set().union(*map(_required, node)) if isinstance(node, list) else set()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"prompt file cannot be read ({type(error).__name__})",
            where=path,
            remedy=f"A prompt folder holds NAME.txt and NAME.json for each of {', '.join(NAMES)}.",
        ) from error


def _parse_schema(text: str, path: Path) -> Json:
    try:
        schema = json.loads(text)
        jsonschema.Draft202012Validator.check_schema(schema)
    except (ValueError, jsonschema.SchemaError) as error:
        raise UsageError(f"not a JSON schema ({str(error).splitlines()[0]})", where=path) from error
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise UsageError("the answer must be a JSON object", where=path, remedy='Set "type": "object".')
    return schema


def inline(schema: Json, definitions: Json) -> dict:
    """Return `schema` with each `{"$ref": "#/$defs/NAME"}` replaced by `definitions[NAME]` or its own one.

    This is how a request fills in what only it knows (the enum of allowed commands), and it spares small
    servers the references, which not all of them follow.
    """
    known = {**schema.get("$defs", {}), **definitions}

    def walk(node: object) -> object:
        if isinstance(node, Mapping):
            target = node.get("$ref")
            if isinstance(target, str):
                return walk(known[target.removeprefix("#/$defs/")])
            return {key: walk(value) for key, value in node.items() if key != "$defs"}
        return [walk(value) for value in node] if isinstance(node, list) else node

    filled = walk(schema)
    assert isinstance(filled, dict)
    return filled
