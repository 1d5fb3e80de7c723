"""Atomic commands, the phrases that name them, and what left and right become in a mirror."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from embodied_cf.language import connectives

_REMEMBERED = 1 << 12
"""Distinct instructions whose parse is kept; the same few hundred come again and again, between many that come once."""
_SPACE = re.compile(r"\s+")
_SIDES = {"left": "right", "right": "left", "leftward": "rightward", "rightward": "leftward",
          "leftwards": "rightwards", "rightwards": "leftwards", "clockwise": "counterclockwise",
          "counterclockwise": "clockwise"}  # fmt: skip
_SIDE = re.compile(r"\b(" + "|".join(sorted(_SIDES, key=len, reverse=True)) + r")\b", re.IGNORECASE)


@dataclass(frozen=True)
class Command:
    """An atomic command with its phrases, the canonical one first."""

    name: str
    phrases: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    """Understood, but said only where phrasings are wanted that no training text uses."""

    @property
    def mirror(self) -> str:
        """Name of the command with left and right exchanged."""
        return "_".join(_SIDES.get(word, word) for word in self.name.split("_"))


@dataclass(frozen=True)
class Vocabulary:
    """The commands of one kind of embodiment. A phrase names at most one command."""

    commands: tuple[Command, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Command names in table order; positions are the command indices used elsewhere."""
        return tuple(command.name for command in self.commands)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Command index by name."""
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def phrases(self) -> tuple[tuple[str, ...], ...]:
        """Phrases by command index."""
        return tuple(command.phrases for command in self.commands)

    @cached_property
    def _by_phrase(self) -> Mapping[str, str]:
        return {
            normalise(phrase): command.name
            for command in self.commands
            for phrase in command.phrases + command.held_out
        }

    @cached_property
    def _parsed(self) -> dict[str, tuple[str, ...] | None]:
        return {}

    def command_of(self, phrase: str) -> str | None:
        """Return the command that a single phrase names, or None."""
        return self._by_phrase.get(normalise(phrase))

    def parse(self, instruction: str) -> tuple[str, ...] | None:
        """Return the commands that an instruction chains, or None if any clause is not a known phrase.

        >>> NAV.parse("Turn left, then go forward.")  # doctest: +SKIP
        ('turn_left', 'forward')
        """
        if instruction not in self._parsed:
            if len(self._parsed) >= _REMEMBERED:
                self._parsed.clear()
            clauses = [self.command_of(clause) for clause in connectives.split(normalise(instruction))]
            known = tuple(clause for clause in clauses if clause is not None)
            self._parsed[instruction] = known if len(known) == len(clauses) else None
        return self._parsed[instruction]

    def compose(self, commands: Sequence[str], phrase: Sequence[int] | None = None) -> str:
        """Return the instruction that chains `commands`; `phrase` picks a phrasing for each (default 0)."""
        picks = phrase if phrase is not None else [0] * len(commands)
        said = [self.phrases[self.index[name]][pick] for name, pick in zip(commands, picks, strict=True)]
        return connectives.join(tuple(said))


def normalise(text: str) -> str:
    """Return a phrase in the form that phrases are compared in: lower case, single spaces, no end stop."""
    return _SPACE.sub(" ", text.strip().rstrip(".!").strip()).lower()


def mirror_text(instruction: str) -> str:
    """Exchange left and right (and clockwise, counterclockwise) in an instruction, keeping capitals.

    >>> mirror_text("Turn left, then keep right")
    'Turn right, then keep left'
    """
    return _SIDE.sub(lambda match: _cased(match[0], _SIDES[match[0].lower()]), instruction)


def _cased(like: str, word: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
