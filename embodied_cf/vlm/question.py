"""Questions to a vision-language model: a prompt, the values it is filled with, the pictures, the schema."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from embodied_cf.datasets.image_head import read_head
from embodied_cf.errors import VlmError

Json = Mapping[str, Any]
"""A JSON object as Python data. Treat it as read-only: askers of one question share one answer."""

_SENT = ("image/png", "image/jpeg")
_TEMPLATES = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def canonical(value: object) -> bytes:
    """Return `value` as JSON text that is equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=dict).encode()


def digest(value: object) -> str:
    """Return the sha256 of the canonical JSON of `value`, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


@dataclass(frozen=True)
class Picture:
    """One encoded image as the server will see it; the bytes are never decoded here."""

    data: bytes = field(repr=False)
    mime: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""

    @cached_property
    def sha256(self) -> str:
        """64 hex digits of the encoded bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @staticmethod
    def read(encoded: bytes | memoryview) -> "Picture":
        """Read type and size from the head of a PNG or JPEG. Raises VlmError for anything else."""
        data = bytes(encoded)
        try:
            head = read_head(data)
        except ValueError as error:
            raise VlmError(str(error), remedy="Re-export the episode.") from None
        if head.mime not in _SENT:
            raise VlmError("an image is neither PNG nor JPEG", remedy="Convert it with a before_send hook.")
        return Picture(data, head.mime, head.width, head.height)


@dataclass(frozen=True)
class Prompt:
    """A versioned prompt: a jinja2 template and the JSON schema that the answer must meet."""

    name: str
    """Letters, digits, `_` and `-`: servers see it as the name of the schema."""
    text: str
    schema: Json

    @cached_property
    def sha256(self) -> str:
        """64 hex digits over name, template and schema."""
        return digest([self.name, self.text, self.schema])

    @cached_property
    def _template(self) -> jinja2.Template:
        return _TEMPLATES.from_string(self.text)

    def render(self, values: Json, pictures: Sequence[Picture] = ()) -> str:
        """Fill the template; it also sees `images`, each with `width` and `height` in pixels as sent.

        Raises VlmError if the template is malformed or names a value that is not given.
        """
        try:
            return self._template.render(**values, images=pictures)
        except jinja2.TemplateError as error:
            raise VlmError(str(error).rstrip("."), where=f"prompt {self.name}") from None


@dataclass(frozen=True)
class Question:
    """One request for one JSON object.

    `images` are encoded frames in the order in which the server gets them. `schema` replaces the prompt's own
    where it depends on the request (an enum of commands, one property per candidate).
    """

    prompt: Prompt
    values: Json = field(default_factory=dict)
    images: tuple[bytes | memoryview, ...] = field(default=(), repr=False)
    schema: Json | None = None
    where: str = ""
    """Episode and steps, for error texts; not part of the question's identity."""
    expected_output_tokens: int = 120
    """For forecasts only."""


@dataclass(frozen=True)
class Sheet:
    """A question as it is sent: rendered, with hooked pictures, and the key it is cached under."""

    question: Question = field(repr=False)
    text: str
    schema: Json
    pictures: tuple[Picture, ...]
    key: str

    @property
    def name(self) -> str:
        """Name of the prompt."""
        return self.question.prompt.name

    @property
    def where(self) -> str:
        """Which question this is, for error texts."""
        return f"{self.question.where}: {self.name}" if self.question.where else self.name


def lay_out(question: Question, pictures: tuple[Picture, ...], model: str, sampling: Json) -> Sheet:
    """Render `question` and compute its key: all that the answer may depend on, and nothing else."""
    text = question.prompt.render(question.values, pictures)
    schema = question.prompt.schema if question.schema is None else question.schema
    shas = [picture.sha256 for picture in pictures]
    key = digest([model, question.prompt.sha256, text, schema, sampling, shas])
    return Sheet(question, text, schema, pictures, key)


@dataclass(frozen=True)
class Answer:
    """A JSON object that meets the question's schema."""

    value: Json
    input_tokens: int = 0
    output_tokens: int = 0
    cached: bool = False
    sizes: tuple[tuple[int, int], ...] = ()
    """Width and height in pixels of each image as it was sent; a before_send hook may have changed them."""


@runtime_checkable
class Asker(Protocol):
    """Whatever answers questions: the client, or a dry run."""

    @property
    def identity(self) -> Json:
        """Model and sampling, as provenance records them."""
        ...

    async def ask(self, question: Question) -> Answer:
        """Answer one question. Raises VlmError."""
        ...
