"""Dataset card and licence, carried over from one format to the next."""

import re
from collections.abc import Mapping
from pathlib import Path

from embodied_cf.datasets.metadata import INFO

_LIMIT = 1 << 20
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)
_LICENCE = re.compile(r"^license:[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE)
_NAMES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "CITATION.cff", "CITATIONS.bib", "CITATION.bib")
CARD = "README.md"
NOTHING: Mapping[str, str] = {}
HUB = {
    "task_categories": "task_categories:\n- robotics",
    "tags": "tags:\n- LeRobot",
    "configs": "configs:\n- config_name: default\n  data_files: data/*/*.parquet",
}
"""What the Hugging Face Hub wants to know of a LeRobot dataset, as LeRobot's own cards say it."""


def licence_of(source: Path) -> str:
    """Return the licence that a dataset card names in its front matter, "" if it names none."""
    front = _FRONT.match(_read(source / CARD))
    found = _LICENCE.search(front[1]) if front else None
    return found[1] if found else ""


def declared_licence(directory: Path) -> str:
    """Return the licence in an RLDS dataset's dataset_info.json or card, "" if there is none."""
    from tensorflow_datasets.core import dataset_info

    info = dataset_info.read_from_json(str(directory / INFO))
    return str(info.redistribution_info.license) or licence_of(directory)


def card_files(source: Path, said: str, licence: str = "", front: Mapping[str, str] = NOTHING) -> Mapping[str, str]:
    """Return the files that go along: licence and citation as they are, and the card with `said` added to it.

    `licence` and `front` (key to YAML text) go into the card's front matter where it does not speak of them.
    """
    kept = {name: _read(source / name) for name in _NAMES if (source / name).is_file()}
    wanted = {"license": f"license: {licence}"} if licence else {}
    card = _with_front(_read(source / CARD), {**wanted, **front}).rstrip()
    return {**kept, CARD: f"{card}\n\n## Conversion\n\n{said}\n".lstrip()}


def _with_front(card: str, front: Mapping[str, str]) -> str:
    standing = _FRONT.match(card)
    own = standing[1] if standing else ""
    lacking = [text for key, text in front.items() if not re.search(rf"^{key}:", own, re.MULTILINE)]
    body = card[standing.end() :] if standing else card
    lines = [*([own] if own else []), *lacking]
    return "\n".join(["---", *lines, "---", body]) if lines else body


def _read(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > _LIMIT:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")
