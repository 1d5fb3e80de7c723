"""An explanation of an input in a few sentences."""

from embodied_cf.explain.input.edits import WORD_FACTORS
from embodied_cf.explain.input.explanation import Effect, InputExplanation

_NAMED = 3


def sentences(told: InputExplanation) -> tuple[str, ...]:
    """Return what the action depends on, what it does not depend on, and where in the frame."""
    return (*_smallest(told), _words(told), _things(told), *_regions(told))


def change(group: tuple[Effect, ...]) -> str:
    """Return a set of edits in words."""
    return " and ".join(it.edit.text for it in group)


def _smallest(told: InputExplanation) -> tuple[str, ...]:
    if not told.smallest:
        return ("Nothing that was tried of scene and words, alone or two or three at a time, changes what it does.",)
    size = len(told.smallest[0])
    if size > 1:
        return (f"No single change makes it act otherwise. These {size} together do: {change(told.smallest[0])}.",)
    shown, more = "; ".join(change(group) for group in told.smallest[:_NAMED]), len(told.smallest) - _NAMED
    rest = f"; and {more} other single changes" if more > 0 else ""
    return (f"One change is enough to make it act otherwise: {shown}{rest}.",)


def _words(told: InputExplanation) -> str:
    matter = sorted({it.edit.about for it in told.effects if it.changed and _is_words(it)})
    if not matter:
        return "No change of the words alone matters: in this view it does not listen."
    names = ", ".join(f"“{word}”" for word in matter if word != "instruction")
    return (
        f"It listens: {names} matters." if names else "It matters whether it is told anything, but no single word does."
    )


def _things(told: InputExplanation) -> str:
    things: dict[str, list[str]] = {}
    for it in told.effects:
        if it.changed and not _is_words(it):
            things.setdefault(it.edit.about, []).append(it.edit.factor)
    if not things:
        return "No single change of the scene matters: of no thing the colour, kind, presence or place."
    named = "; ".join(f"the {name} ({', '.join(dict.fromkeys(factors))})" for name, factors in things.items())
    return f"In the scene there matters: {named}."


def _regions(told: InputExplanation) -> tuple[str, ...]:
    count = len(told.regions.smallest)
    if not count:
        return ("Blanking regions of the frame, even all of them, does not change what it does.",)
    blanking = "blanking one" if count == 1 else f"blanking {count} together"
    return (f"Of the frame's 64 regions, {blanking} is enough to change what it does.",)


def _is_words(effect: Effect) -> bool:
    return effect.edit.factor in WORD_FACTORS
