"""The words of the instruction grammar: names of things and colours, and templates of clauses.

Each table has a part for training and a part that is held out, which no training text may use. `{thing}`,
`{near}`, `{first}` and `{second}` stand for noun phrases, `{side}` for left or right, `{other}` for its opposite.
The first training entry is the canonical one. Atomic commands have their phrases in `nav.VOCABULARY`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """Several ways to say one thing."""

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return self.train + self.held_out


NOUNS: dict[str, Wording] = {
    "chair": Wording(("chair", "seat"), ("kitchen chair",)),
    "table": Wording(("table", "desk"), ("work table",)),
    "box": Wording(("box", "crate"), ("carton",)),
    "cone": Wording(("cone", "traffic cone"), ("pylon",)),
    "barrel": Wording(("barrel", "drum"), ("keg",)),
    "plant": Wording(("plant", "potted plant"), ("houseplant",)),
    "tree": Wording(("tree", "leafy tree"), ("sapling",)),
    "bin": Wording(("bin", "trash can", "garbage can"), ("waste basket",)),
    "ball": Wording(("ball", "rubber ball"), ("sphere",)),
    "lamp": Wording(("lamp", "floor lamp"), ("standing light",)),
    "door": Wording(("door", "doorway"), ("entrance",)),
    "wall": Wording(("wall",)),
}
COLOUR_WORDS: dict[str, Wording] = {
    "red": Wording(("red", "bright red"), ("crimson",)),
    "orange": Wording(("orange", "bright orange"), ("tangerine",)),
    "yellow": Wording(("yellow", "bright yellow"), ("golden",)),
    "green": Wording(("green",), ("emerald",)),
    "blue": Wording(("blue",), ("azure",)),
    "purple": Wording(("purple", "violet"), ("plum-coloured",)),
    "white": Wording(("white",), ("snow-white",)),
    "black": Wording(("black",), ("jet-black",)),
}
GO_TO = Wording(
    (
        "go to {thing}",
        "drive to {thing}",
        "move to {thing}",
        "head to {thing}",
        "go over to {thing}",
        "drive up to {thing}",
        "navigate to {thing}",
        "head over to {thing} and stop there",
        "make your way to {thing}",
        "approach {thing}",
        "go and stop at {thing}",
        "find {thing} and stop in front of it",
        "move toward {thing} and stop",
        "take me to {thing}",
        "head for {thing}",
        "move over to {thing}",
    ),
    (
        "proceed to {thing}",
        "travel as far as {thing}",
        "get yourself over to {thing}",
        "your destination is {thing}",
        "i need you at {thing}",
        "pay {thing} a visit",
        "look for {thing} and halt in reach of it",
    ),
)
GO_TO_NEAR = Wording(
    (
        "go to {thing} nearest {near}",
        "go to {thing} closest to {near}",
        "drive to {thing} nearest to {near}",
        "head to {thing} by {near}",
        "move to {thing} next to {near}",
        "navigate to {thing} that is nearest to {near}",
        "go up to {thing} beside {near}",
        "drive over to {thing} near {near}",
        "approach {thing} closest to {near}",
        "make your way to {thing} that is closest to {near}",
        "find {thing} next to {near} and stop there",
        "head over to {thing} standing by {near}",
        "go and stop at {thing} near {near}",
    ),
    (
        "proceed to {thing} with the least distance to {near}",
        "travel as far as {thing} adjacent to {near}",
        "your destination is {thing} in the vicinity of {near}",
        "pick out {thing} located closest to {near} and halt in reach of it",
        "pay a visit to {thing} alongside {near}",
        "i need you at {thing} neighbouring {near}",
    ),
)
STOP_BESIDE = Wording(
    (
        "stop {side} of {thing}",
        "stop to the {side} of {thing}",
        "go to the {side} of {thing} and stop",
        "stop on the {side} side of {thing}",
        "park to the {side} of {thing}",
        "park on the {side} of {thing}",
        "drive to the {side} side of {thing}",
        "come to a stop {side} of {thing}",
        "move to the {side} of {thing} and stop there",
        "pull up to the {side} of {thing}",
        "wait on the {side} side of {thing}",
        "position yourself to the {side} of {thing}",
        "go and stand to the {side} of {thing}",
    ),
    (
        "halt {side} of {thing}",
        "place yourself at the {side} of {thing}",
        "come to rest on {thing}'s {side}",
        "take up a spot {side} of {thing}",
        "end up at the {side}-hand side of {thing}",
        "finish next to {thing}, over on the {side}",
    ),
)
PASS_BETWEEN = Wording(
    (
        "pass between {first} and {second}",
        "go between {first} and {second}",
        "drive between {first} and {second}",
        "move between {first} and {second}",
        "go through the gap between {first} and {second}",
        "drive through the gap between {first} and {second}",
        "pass through the space between {first} and {second}",
        "head between {first} and {second}",
        "cross between {first} and {second}",
        "drive through between {first} and {second} and stop",
        "go between {first} and {second} and stop behind them",
        "take the gap between {first} and {second}",
        "steer between {first} and {second}",
    ),
    (
        "thread your way between {first} and {second}",
        "squeeze through the opening that {first} and {second} leave",
        "slip through with {first} on one side and {second} on the other",
        "traverse the passage formed by {first} and {second}",
        "navigate through the middle of {first} and {second}",
        "get past {first} and {second} by driving in amid them",
    ),
)
FOLLOW_WALL = Wording(
    (
        "follow the wall on your {side}",
        "follow the {side} wall",
        "follow the wall to your {side}",
        "drive along the wall on your {side}",
        "go along the {side} wall",
        "move along the wall on your {side}",
        "keep the wall on your {side}",
        "stay close to the wall on your {side}",
        "drive along the {side} wall",
        "stay along the {side} wall",
        "follow along the wall on the {side}",
        "drive with the wall on your {side}",
        "keep close to the {side} wall",
    ),
    (
        "hug the {side} wall",
        "trace the wall that is at your {side}",
        "skirt the {side}-hand wall",
        "let the wall on your {side} guide you",
        "proceed with a wall at your {side}",
        "run parallel to the wall at your {side}",
    ),
)
KEEP_SIDE = Wording(
    (
        "keep to the {side} side of the corridor",
        "stay on the {side} side of the corridor",
        "drive on the {side} side of the corridor",
        "keep {side} in the corridor",
        "stay {side} in the hallway",
        "go down the corridor on the {side} side",
        "keep to the {side} of the hallway",
        "drive down the {side} side of the hallway",
        "move along the {side} side of the corridor",
        "stay to the {side} as you go down the corridor",
        "walk on the {side} side of the hallway",
        "follow the corridor on its {side} side",
        "use the {side} side of the hallway",
    ),
    (
        "proceed through the passage at its {side} edge",
        "remain in the {side} half of the passageway",
        "travel through the hall on the {side}-hand side",
        "stick to the {side} in the hall",
        "advance along the aisle, favouring the {side}",
        "leave the {other} half of the passageway to others",
    ),
)
ARC_AROUND = Wording(
    (
        "take a wide {side} arc around {thing}",
        "make a wide {side} arc around {thing}",
        "arc around {thing} on the {side}",
        "go around {thing} on the {side} side",
        "go around the {side} of {thing}",
        "circle around {thing} on the {side}",
        "drive around {thing} passing it on the {side}",
        "go {side} around {thing}",
        "swing wide to the {side} around {thing}",
        "pass {thing} in a wide arc on the {side}",
        "make a big curve around {thing} to the {side}",
        "curve around {thing} on the {side} side",
        "drive around {thing} keeping it on your {other}",
    ),
    (
        "loop past {thing} by way of its {side}",
        "give {thing} a wide berth on the {side}",
        "round {thing} with plenty of room, {side} of it",
        "sweep past {thing} in a generous {side} bend",
        "bypass {thing} via a broad {side} curve",
        "detour about {thing}, leaving it on your {other}",
    ),
)


def going_to(name: str, pick: int) -> str:
    """Return a training phrasing of "go to the ..." for any name, such as a captioner gives; `pick` chooses it.

    >>> going_to("wooden spoon", 0)
    'go to the wooden spoon'
    """
    return GO_TO.train[pick].format(thing=f"the {name}")
