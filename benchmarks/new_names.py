"""How many names that training never uses does MiniLM place right: kinds of things, and colours?

    python -m benchmarks.new_names

Kinds as `policies.names` has them. Colours in the same way ("a shade of crimson", nearest to "a shade of red"?): too
few are right, so that the reader leaves new ones out. The first of each kind are the held-out names of the grammar, the
rest were written down before any of them was tried; "a kind of" was chosen among ten ways to ask by these very names.
"""

import torch

from embodied_cf.language.instruction import COLOURS, SEEN_KINDS
from embodied_cf.policies.nameless import direction
from embodied_cf.policies.names import KnownNames

NAMES = {
    "chair": ("kitchen chair", "stool", "armchair", "couch"),
    "table": ("work table", "workbench", "counter"),
    "box": ("carton", "package", "parcel", "cardboard box"),
    "cone": ("pylon", "road cone", "safety cone"),
    "barrel": ("keg", "cask", "oil drum"),
    "plant": ("houseplant", "fern", "flower", "shrub", "flowerpot"),
    "tree": ("sapling", "oak", "pine"),
    "bin": ("waste basket", "dustbin", "rubbish bin", "wastepaper basket"),
    "ball": ("sphere", "orb", "globe", "football"),
    "lamp": ("standing light", "lantern", "light", "reading light"),
    "door": ("entrance", "gate", "exit"),
}
SHADES = {
    "red": ("crimson", "scarlet", "ruby", "maroon", "cherry", "burgundy"),
    "orange": ("tangerine", "amber", "pumpkin", "rust-coloured"),
    "yellow": ("golden", "lemon", "gold", "canary"),
    "green": ("emerald", "lime", "olive", "mint"),
    "blue": ("azure", "navy", "cobalt", "turquoise", "sapphire"),
    "purple": ("plum-coloured", "lavender", "magenta", "mauve", "lilac", "indigo"),
    "white": ("snow-white", "ivory", "cream", "pale", "pearly", "chalky"),
    "black": ("jet-black", "ebony", "charcoal", "dark", "coal-black"),
}


def main() -> None:
    known = KnownNames(SEEN_KINDS)
    found = [known.said(f"the {name}") == f"the {kind}" for kind, names in NAMES.items() for name in names]
    print(f"names of things said as their kind: {sum(found)} of {len(found)}")
    found = [shade(name) == colour for colour, names in SHADES.items() for name in names]
    print(f"colours nearest to their own: {sum(found)} of {len(found)}")


def shade(name: str) -> str:
    """Return the colour that a name lies nearest to."""
    colours = torch.stack([direction(f"a shade of {colour}") for colour in COLOURS])
    return COLOURS[int((colours @ direction(f"a shade of {name}")).argmax())]


if __name__ == "__main__":
    main()
