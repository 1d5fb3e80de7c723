"""How many hindsight labels about things and walls are true in the exact scene: counted by kind of clause.

    python -m benchmarks.hindsight_truth rooms_cf/1.0.0 --episodes 40

True is what holds where the label ends, by the instruction's predicate from where it begins, at a stop or not. Chains
and commands are passed over. Needs logs of the simulator, which can be replayed.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.label_truth import World
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import InstructionError
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import Chain, Do, Instruction
from embodied_cf.language.predicate import advance, begin, compile_instruction, holds, stack_programs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="version directory of labelled logs of the simulator")
    parser.add_argument("--episodes", type=int, default=40)
    arguments = parser.parse_args()
    right, count = Counter(), Counter()
    for kind, true in truths(arguments.dataset, arguments.episodes):
        right[kind] += true
        count[kind] += 1
    for kind in sorted(count):
        print(f"{kind:14} {right[kind]:5} of {count[kind]}")
    print(f"{'all':14} {right.total():5} of {count.total()}")


def truths(dataset: Path, episodes: int) -> Iterator[tuple[str, bool]]:
    """Yield the kind of clause of each such label, and whether it is true."""
    for episode in islice(read_episodes(open_dataset(dataset), load_spec(None, dataset)), episodes):
        world, labels = World.of(episode, 1), episode.labels["labels"]
        rows = zip(labels.kind, labels.instruction, labels.start.tolist(), labels.end.tolist(), strict=True)
        for kind, text, start, end in rows:
            asked = clause_of(text) if kind == "hindsight" else None
            if asked is not None:
                near = " near" if getattr(asked, "near", None) else ""
                yield type(asked).__name__ + near, is_true(asked, world, start, end)


def clause_of(text: str) -> Instruction | None:
    """Return what a text asks of things or walls; None for commands, chains, and what cannot be read."""
    try:
        asked = parse(text)
    except InstructionError:
        return None
    return None if isinstance(asked, Do | Chain) else asked


def is_true(asked: Instruction, world: World, start: int, end: int) -> bool:
    """Return whether it holds at step `end`, told at `start`; what names nothing that is there does not."""
    try:
        programs = stack_programs([compile_instruction(asked, world.scene.surroundings())])
    except InstructionError:
        return False
    path: np.ndarray = world.pose[start : end + 1]
    tracker = begin(programs, path[:1])
    for step in range(1, len(path)):
        tracker = advance(programs, tracker, path[step : step + 1])
    return bool(tracker.success[0] or holds(programs, tracker)[0])


if __name__ == "__main__":
    main()
