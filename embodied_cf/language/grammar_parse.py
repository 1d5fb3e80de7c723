"""From words to instructions: every template of `phrasing` read backwards."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from embodied_cf.errors import InstructionError
from embodied_cf.language import connectives
from embodied_cf.language.instruction import (
    OTHER_SIDE,
    WALL,
    ArcAround,
    Chain,
    Clause,
    Do,
    FollowWall,
    GoTo,
    Instruction,
    KeepSide,
    PassBetween,
    Side,
    StopBeside,
    Thing,
)
from embodied_cf.language.nav import VOCABULARY
from embodied_cf.language.phrasing import (
    ARC_AROUND,
    COLOUR_WORDS,
    FOLLOW_WALL,
    GO_TO,
    GO_TO_NEAR,
    KEEP_SIDE,
    NOUNS,
    PASS_BETWEEN,
    STOP_BESIDE,
    Wording,
)
from embodied_cf.language.vocabulary import normalise


@lru_cache(maxsize=1 << 16)
def parse(text: str) -> Instruction:
    """Return the instruction that a text means: canonical forms and every phrasing, in any case.

    Raises InstructionError for anything else, saying what of it was understood.
    """
    said = connectives.split(normalise(text))
    read = [_clause(clause) for clause in said]
    parts = tuple(part for part in read if part is not None)
    if len(parts) < len(read):
        raise _not_understood(text, said, read)
    return parts[0] if len(parts) == 1 else Chain(parts)


def _clause(text: str) -> Clause | None:
    command = VOCABULARY.command_of(text)
    if command is not None:
        return Do(command)
    for pattern, build in _READERS:
        found = pattern.fullmatch(text)
        if found:
            return build(found.groupdict())
    return None


def _names(words: Mapping[str, Wording]) -> dict[str, str]:
    return {name: kind for kind, wording in words.items() for name in wording.all}


def _either(names: Mapping[str, str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


_KINDS, _COLOURS = _names(NOUNS), _names(COLOUR_WORDS)
_MOVABLE = {name: kind for name, kind in _KINDS.items() if kind != WALL}
_SIDES = re.compile(r"\b(left|right)\b")
_ANYTHING = re.compile(rf"\b(?:the|an?) (?:(?:{_either(_COLOURS)}) )?(?:{_either(_KINDS)})\b")


def _noun_phrase(slot: str, kinds: Mapping[str, str]) -> str:
    return rf"(?:the|an?) (?:(?P<{slot}_colour>{_either(_COLOURS)}) )?(?P<{slot}>{_either(kinds)})"


_SLOTS = {
    "thing": _noun_phrase("thing", _MOVABLE),
    "near": _noun_phrase("near", _KINDS),
    "first": _noun_phrase("first", _KINDS),
    "second": _noun_phrase("second", _KINDS),
    "side": "(?P<side>left|right)",
    "other": "(?P<other>left|right)",
}


def _thing(slots: Mapping[str, str | None], slot: str) -> Thing:
    return Thing(_KINDS[slots[slot] or ""], _COLOURS.get(slots[f"{slot}_colour"] or "", ""))


def _side(slots: Mapping[str, str | None]) -> Side:
    said: Side = "left" if "left" in (slots.get("side"), slots.get("other")) else "right"
    return OTHER_SIDE[said] if "other" in slots else said


def _between(slots: Mapping[str, str | None]) -> Clause | None:
    """The wall, wherever it is named, is the second thing; between walls there is nothing."""
    first, second = _thing(slots, "first"), _thing(slots, "second")
    if first.kind == WALL:
        first, second = second, first
    return None if first.kind == WALL else PassBetween(first, second)


_BUILD: tuple[tuple[Wording, Callable[[Mapping[str, str | None]], Clause | None]], ...] = (
    (GO_TO, lambda slots: GoTo(_thing(slots, "thing"))),
    (GO_TO_NEAR, lambda slots: GoTo(_thing(slots, "thing"), _thing(slots, "near"))),
    (STOP_BESIDE, lambda slots: StopBeside(_thing(slots, "thing"), _side(slots))),
    (PASS_BETWEEN, _between),
    (FOLLOW_WALL, lambda slots: FollowWall(_side(slots))),
    (KEEP_SIDE, lambda slots: KeepSide(_side(slots))),
    (ARC_AROUND, lambda slots: ArcAround(_thing(slots, "thing"), _side(slots))),
)


def _pattern(template: str) -> re.Pattern[str]:
    """Regular expression of a template; a name that comes twice must be the same twice."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", lambda slot: _SLOTS[slot[1]], re.escape(template)))


_READERS = tuple((_pattern(template), build) for wording, build in _BUILD for template in wording.all)


def _not_understood(text: str, said: list[str], read: list[Clause | None]) -> InstructionError:
    known = [f'"{clause}"' for clause, part in zip(said, read, strict=True) if part is not None]
    unknown = next(clause for clause, part in zip(said, read, strict=True) if part is None)
    words = [f'"{found[0]}"' for found in (*_ANYTHING.finditer(unknown), *_SIDES.finditer(unknown))]
    understood = f"understood: {', '.join(known + words)}" if known or words else "nothing of it was understood"
    return InstructionError(
        f'"{unknown}" is no known instruction ({understood})',
        where=f'"{text}"' if len(said) > 1 else "",
        remedy='Say for example "go to the red chair", "stop left of the table", "follow the wall on your right" or '
        '"turn left, then go forward".',
    )
