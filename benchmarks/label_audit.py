"""How many counterfactual labels are true, by exact truth in the simulator: what the verifier keeps and removes.

For each world, synthesizer and kind of captioner faults: precision (true among kept labels), recall (kept among true
ones) and the share of false ones removed, for several thresholds of the score. See `benchmarks.label_truth`. With
--as-trained the labels are those of the demonstration and of `benchmarks.cast`; *search* rows tell of what is out of
view, where the robot looks for it by convention, which need not bring it nearer.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.label_truth import Futures, World, futures, truths
from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.envs.collect import CollectOptions, collect
from embodied_cf.errors import InstructionError
from embodied_cf.evaluate.demo import LOOK_ROUND
from embodied_cf.evaluate.suites import WORLDS
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import FAMILIES, family
from embodied_cf.language.verdict import PASS
from embodied_cf.relabel.build import Setting, build_pipeline, survey
from embodied_cf.relabel.elsewhere import REASON
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.stages import Candidates, Context, Judged, Proposals, Verifier
from embodied_cf.vlm.faults import Faults

AS_TRAINED: Mapping[str, Any] = {
    "families": tuple(name for name in FAMILIES if name != "chained"),
    "command_share": 0.1,
    "per_observation": 8,
    "look_round": LOOK_ROUND,
}
"""Options of relabelling, as in `benchmarks.cast.data`: chains are told part by part."""
SYNTHESIZERS = ("goal", "primitive", "retrieval")
FAULTS = ((0.0, False), (0.1, False), (0.1, True), (0.3, False), (0.3, True))
THRESHOLDS = (0.0, 0.5, 0.7, 0.9)
ROW = ("family", "true", "kept", "verified", "score", "touched", "start", "told", "text", "reason", "episode")


@dataclass(frozen=True)
class Recorder:
    """A verifier that remembers what it was asked and what it said."""

    verifier: Verifier
    seen: list[tuple[Context, Candidates, Judged]] = field(default_factory=list)

    @property
    def identity(self) -> dict[str, object]:
        return self.verifier.identity

    def verify(self, context: Context, candidates: Candidates) -> Judged:
        judged = self.verifier.verify(context, candidates)
        self.seen.append((context, candidates, judged))
        return judged


@dataclass(frozen=True)
class Logs:
    """Episodes of one world, replayed."""

    directory: Path
    setting: Setting
    episodes: tuple[Episode, ...]
    worlds: tuple[World, ...]
    alternatives: tuple[Futures, ...]

    @staticmethod
    def of(directory: Path) -> "Logs":
        dataset = open_dataset(directory)
        spec = load_spec(None, dataset.path)
        setting = survey(dataset, spec, dataset.shards(None), RelabelOptions(directory, directory, captioner="scene"))
        episodes = tuple(read_episodes(dataset, spec))
        rows = setting.body.chunk_length
        worlds = tuple(World.of(episode, rows) for episode in episodes)
        drives = tuple(futures(world, setting.profile.scale, rows) for world in worlds)
        return Logs(directory, setting, episodes, worlds, drives)


def audit(logs: Logs, options: RelabelOptions) -> list[dict[str, object]]:
    """Return a row (see ROW) for each counterfactual candidate."""
    setting = logs.setting
    if options.synthesizer == "retrieval":
        dataset = open_dataset(logs.directory)
        setting = survey(dataset, setting.spec, dataset.shards(None), options)
    pipeline = build_pipeline(setting, options)
    recorder = Recorder(pipeline.verifier)
    watched = replace(pipeline, verifier=recorder)
    for episode in logs.episodes:
        asyncio.run(watched.relabel(episode))
    found = zip(logs.worlds, logs.alternatives, recorder.seen, strict=True)
    return [row for number, (world, drives, seen) in enumerate(found) for row in _rows(number, world, drives, *seen)]


def _rows(
    number: int, world: World, drives: Futures, context: Context, candidates: Candidates, judged: Judged
) -> Iterator[dict[str, object]]:
    rows = np.arange(candidates.factual, len(candidates.labels))
    labels, told = candidates.labels.take(rows), candidates.proposals.seen
    boxed = candidates.proposals.is_boxed
    told = np.where(boxed, candidates.proposals.start, told)
    true, hit = truths(world, drives, labels, told)
    for at, row in enumerate(rows.tolist()):
        text = labels.instruction[at]
        yield dict(
            zip(
                ROW,
                (
                    _kind(candidates.proposals, at, text),
                    bool(true[at]),
                    not judged.reason[row],
                    not judged.reason[row] and int(judged.verdict[row]) == PASS,
                    float(judged.labels.score[row]),
                    int(hit[at]),
                    int(labels.start[at]),
                    int(told[at]),
                    text,
                    judged.reason[row],
                    number,
                ),
                strict=True,
            )
        )


def _kind(proposals: Proposals, at: int, text: str) -> str:
    if not proposals.is_goal[at]:
        return "command"
    return "search" if proposals.reason[at].startswith(REASON) else _family(text)


def _family(text: str) -> str:
    try:
        return family(parse(text))
    except InstructionError:
        return "unread"


def summary(rows: Sequence[dict[str, object]], threshold: float) -> dict[str, float]:
    """Return precision, recall and share of false labels removed, of those verified with at least a score."""
    true = np.array([row["true"] for row in rows], bool)
    kept = np.array([row["verified"] and row["score"] >= threshold for row in rows], bool)  # type: ignore[operator]
    return {
        "candidates": len(rows),
        "kept": int(kept.sum()),
        "precision": float((true & kept).sum() / max(kept.sum(), 1)),
        "recall": float((true & kept).sum() / max(true.sum(), 1)),
        "removed": float((~true & ~kept).sum() / max((~true).sum(), 1)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=Path, help="file for every candidate, one JSON line each")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--bias", type=float, default=0.8, help="of the collector: share of legs to the nearest thing")
    parser.add_argument("--as-trained", action="store_true", help="labels as policies learn from them")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=WORLDS)
    parser.add_argument("--synthesizers", nargs="+", default=SYNTHESIZERS)
    parser.add_argument("--rates", nargs="+", type=float, help="only these fault rates")
    arguments = parser.parse_args()
    episodes = 3 if arguments.quick else arguments.episodes
    result = []
    with tempfile.TemporaryDirectory() as scratch:
        for world in arguments.worlds:
            directory = Path(scratch) / world / "1.0.0"
            collect(directory, CollectOptions(world, episodes, arguments.seed, bias=arguments.bias))
            logs = Logs.of(directory)
            for cell in cells(logs, world, arguments):
                result.append(cell)
                show(cell)
                if arguments.json:
                    arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def cells(logs: Logs, world: str, arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield the numbers of each synthesizer and kind of faults in one world."""
    for synthesizer in arguments.synthesizers:
        for rate, persistent in FAULTS:
            if arguments.rates is not None and rate not in arguments.rates:
                continue
            started = time.perf_counter()
            options = RelabelOptions(
                logs.directory, logs.directory, captioner="scene", synthesizer=synthesizer,
                scene=Faults(rate, rate, persistent), stride=arguments.stride,
                **(AS_TRAINED if arguments.as_trained else {}),
            )  # fmt: skip
            rows = audit(logs, options)
            if arguments.rows:
                with arguments.rows.open("a") as file:
                    head = {"world": world, "synthesizer": synthesizer, "rate": rate, "persistent": persistent}
                    file.writelines(json.dumps({**head, **row}) + "\n" for row in rows)
            yield {
                "world": world, "synthesizer": synthesizer, "faults": rate, "persistent": persistent,
                "seconds": time.perf_counter() - started,
                "thresholds": {str(least): summary(rows, least) for least in THRESHOLDS},
                "families": {name: summary([row for row in rows if row["family"] == name], 0.0)
                             for name in sorted({str(row["family"]) for row in rows})},
            }  # fmt: skip


def show(cell: dict[str, object]) -> None:
    how = "persistent" if cell["persistent"] else "independent"
    print(f"{cell['world']} {cell['synthesizer']} faults {cell['faults']:.0%} {how}  {cell['seconds']:.0f} s")
    for name, part in [*cell["families"].items(), *cell["thresholds"].items()]:  # type: ignore[attr-defined]
        print(
            f"  {name:12} {part['candidates']:6} candidates, {part['kept']:6} kept, "
            f"precision {part['precision']:6.1%}, recall {part['recall']:6.1%}, false removed {part['removed']:6.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
