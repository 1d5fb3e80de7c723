"""A spec in the making: guesses with their reasons, and how they become TOML for a person to check."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Guess:
    """A value and why it is guessed; without a reason it is known, not guessed."""

    value: object
    why: str = ""


@dataclass
class Draft:
    """The table in the making."""

    top: dict[str, Guess] = field(default_factory=dict)
    cameras: dict[str, Guess] = field(default_factory=dict)
    columns: dict[str, Guess] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def to_toml(name: str, draft: Draft) -> str:
    """Return the draft of a spec as TOML, each guess marked."""
    folders = {"": draft.top, "cameras.": draft.cameras, "columns.": draft.columns}
    guessed = [folder + key for folder, guesses in folders.items() for key, guess in guesses.items() if guess.why]
    lines = [
        f"# A first guess of how to read {_comment(name)}, made by `embodied-cf inspect --suggest-spec`.",
        "# Check each line marked as guessed, then delete its mark here and in `guessed`. See docs/specs.md.",
        *(f"# {_comment(note)}" for note in draft.notes),
        f"name = {_value(name)}",
        *_lines(draft.top),
        f"guessed = {_value(guessed)}",
        "",
        "[cameras]",
        *_lines(draft.cameras),
        "",
        "[columns]",
        *_lines(draft.columns),
    ]
    return "\n".join(lines) + "\n"


def _lines(guesses: Mapping[str, Guess]) -> list[str]:
    return [
        f"{key} = {_value(guess.value)}" + (f"  # guessed: {_comment(guess.why)}" if guess.why else "")
        for key, guess in guesses.items()
    ]


def _value(value: object) -> str:
    # a JSON string, number, boolean or list of strings is the same in TOML, except for DEL
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
