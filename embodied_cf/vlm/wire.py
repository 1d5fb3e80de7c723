"""The chat-completions format: what a request says and how a response is read."""

import base64
import json
import math
import re
from dataclasses import dataclass, replace
from itertools import islice

import jsonschema
from jsonschema.exceptions import best_match

from embodied_cf.vlm.budget import text_tokens
from embodied_cf.vlm.question import Json, Sheet

_FENCE = re.compile(r"^\s*```(?:json)?\s*(.*?)\s*```\s*$", re.DOTALL)
_SHOWN_CHARACTERS, _SHOWN_END = 500, 150
_MOST_ERRORS = 16
"""Breaches of the schema that are looked at: an answer of four megabytes may hold a million."""
_MOST_TOKENS = 1 << 53
_LONGEST_INTEGER = 16
"""Digits: what a float holds exactly."""

_PLAIN = """{text}

Answer with one JSON object and nothing else. It must meet this JSON schema, named {name}:
```json
{schema}
```"""

_REPAIR = (
    "This answer cannot be used: {problem}. "
    "Answer the same question again, corrected, as the JSON object that was asked for."
)


@dataclass(frozen=True)
class Reply:
    """The parts of a response that we read."""

    text: str
    finish: str
    """`stop`, `length`, `content_filter`, ... or "" where the server does not say."""
    refusal: str
    input_tokens: int = -1
    """-1 where the server does not say."""
    output_tokens: int = -1


@dataclass(frozen=True)
class Rejected:
    """An unusable reply and what is wrong with it."""

    reply: Reply
    problem: str


@dataclass(frozen=True)
class Verdict:
    """A usable value, or the kind of problem (for counting) and its text (for the model and for people)."""

    value: dict | None
    kind: str = ""
    problem: str = ""


def request_body(sheet: Sheet, model: str, sampling: Json, structured: bool, rejected: Rejected | None) -> dict:
    """Return the JSON body of a request; with `rejected`, one that asks to mend that answer."""
    messages = [{"role": "user", "content": _content(sheet, structured)}]
    if rejected is not None:
        said = rejected.reply.text or rejected.reply.refusal or "(nothing)"
        messages.append({"role": "assistant", "content": said})
        messages.append({"role": "user", "content": _REPAIR.format(problem=rejected.problem)})
    body = {"model": model, "messages": messages, **sampling}
    if structured:
        form = {"name": sheet.name, "schema": sheet.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def _content(sheet: Sheet, structured: bool) -> list[dict]:
    """Return the text, then the images in the order given."""
    text = sheet.text
    if not structured:
        text = _PLAIN.format(text=text, name=sheet.name, schema=json.dumps(sheet.schema))
    content: list[dict] = [{"type": "text", "text": text}]
    for picture in sheet.pictures:
        url = f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode()}"
        content.append({"type": "image_url", "image_url": {"url": url}})
    return content


def text_of(body: Json) -> str:
    """Return all that a request says in words, its schema included, to count tokens from."""
    words = [json.dumps(body["response_format"])] if "response_format" in body else []
    for message in body["messages"]:
        content = message["content"]
        words.append(content if isinstance(content, str) else content[0]["text"])
    return "\n".join(words)


def read_reply(body: bytes) -> Reply | None:
    """Return the reply in a response body, or None if that is no chat completion."""
    try:
        completion = json.loads(body)
        choices = completion.get("choices") or [{}]
        message = choices[0].get("message") or {}
        usage = completion.get("usage") or {}
        return Reply(
            text=_text(message.get("content")),
            finish=str(choices[0].get("finish_reason") or ""),
            refusal=_sound(str(message.get("refusal") or "")),
            input_tokens=_count(usage.get("prompt_tokens")),
            output_tokens=_count(usage.get("completion_tokens")),
        )
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None


def _text(content: object) -> str:
    # some servers answer with a list of parts, as requests have it
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content)
    return _sound(content) if isinstance(content, str) else ""


def _sound(text: str) -> str:
    # JSON may hold half of a surrogate pair, which no request nor file can
    return text.encode("utf-8", "replace").decode()


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS else -1


def with_estimates(reply: Reply, estimated_input: int) -> Reply:
    """Return the reply with token counts put in where the server gave none."""
    return replace(
        reply,
        input_tokens=reply.input_tokens if reply.input_tokens >= 0 else estimated_input,
        output_tokens=reply.output_tokens if reply.output_tokens >= 0 else text_tokens(reply.text),
    )


def judge(reply: Reply, schema: Json) -> Verdict:
    """Return the answer in `reply` if it is complete and meets `schema`."""
    if reply.refusal or reply.finish == "content_filter":
        return Verdict(None, "refused", f"the model refused ({_shorten(reply.refusal or reply.finish)})")
    if reply.finish == "length":
        return Verdict(None, "truncated", "it was cut off at the token limit; be brief")
    if not reply.text.strip():
        return Verdict(None, "empty", "it is empty")
    try:
        return validate(_parse(_unfence(reply.text)), schema)
    except (ValueError, RecursionError) as error:
        return Verdict(None, "not_json", f"it is not JSON ({_shorten(str(error))})")


def _parse(text: str) -> object:
    """Return a JSON value that every JSON reader reads alike. Raises ValueError, RecursionError."""
    value = json.loads(
        text, parse_constant=_refuse, parse_float=_finite, parse_int=_short_integer, object_pairs_hook=_unique
    )
    json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair could never be written
    return value


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(_shorten(digits))


def _short_integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def validate(value: object, schema: Json) -> Verdict:
    """Return a JSON value as an answer if it meets `schema`."""
    errors = list(islice(jsonschema.Draft202012Validator(schema).iter_errors(value), _MOST_ERRORS))
    if not errors:
        assert isinstance(value, dict)  # every prompt's schema is an object: see templates.py
        return Verdict(value)
    # a command off the list is what the model should hear of first
    error = next((error for error in errors if error.validator == "enum"), best_match(errors))
    place = "/".join(map(str, error.absolute_path)) or "the top"
    return Verdict(
        None,
        "off_list" if error.validator == "enum" else "schema",
        f"it breaks the schema at {place}: {_shorten(error.message)}",
    )


def _unfence(text: str) -> str:
    fenced = _FENCE.match(text)
    return fenced.group(1) if fenced else text


def _shorten(text: str) -> str:
    # an answer is quoted first, what is wrong with it is said last
    short, end = text[: _SHOWN_CHARACTERS - _SHOWN_END], text[-_SHOWN_END:]
    return text if len(text) <= _SHOWN_CHARACTERS else f"{short} ... {end}"
