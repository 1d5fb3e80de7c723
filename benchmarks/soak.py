"""A long relabel run: is memory flat, and what do more processes give?

A million steps (three tiny JPEG cameras, 100 steps per episode, 64 shards) are relabelled with the captioner
`motion` in a fresh process each time: by the local engine with 1 and 2 processes, and by Ray with 1 and 2 CPUs,
in turn. All of a run's processes are watched from outside. The outputs must be equal, manifest to manifest.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.processes import Watched, watch
from benchmarks.soak_figure import draw

EPISODE = 100
VARIANTS = ("local:1", "local:2", "ray:1", "ray:2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, help="engine:processes, in the order given")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks at the memory")
    parser.add_argument("--scratch", type=Path, help="folder for some 6 kB per step; the data stay in it")
    parser.add_argument("--json", type=Path, help="written anew after every variant")
    parser.add_argument("--figure", type=Path, help="SVG of the result")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"steps": arguments.steps, "shards": arguments.shards, "runs": []}
    with nullcontext(arguments.scratch) if arguments.scratch else tempfile.TemporaryDirectory() as scratch:
        for run in soak(Path(scratch), arguments):
            result["runs"].append(run)
            if arguments.json:
                arguments.json.write_text(json.dumps(result) + "\n")
    show(result)
    if arguments.figure:
        arguments.figure.write_text(draw(result))


def soak(scratch: Path, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Make the data and yield what every variant did on it. Raises SystemExit if two outputs differ."""
    episodes = arguments.steps // EPISODE
    source = data.make(scratch / "bench" / "1.0.0", episodes, EPISODE, arguments.shards, image=24)
    manifests = set()
    for variant in arguments.variants:
        engine, _, workers = variant.partition(":")
        out, load = scratch / "out", os.getloadavg()[0]
        seen = watch(command(source, out, engine, workers), arguments.every)
        manifests.add(hashlib.sha256((out / "labels" / "manifest.jsonl").read_bytes()).hexdigest())
        shutil.rmtree(out)
        yield {"engine": engine, "workers": int(workers), "load_before": load, **told(seen, out)}
    if len(manifests) > 1:
        raise SystemExit("the engines' manifests differ")


def command(source: Path, out: Path, engine: str, workers: str) -> list[str]:
    told = out.with_name("result.json")
    base = [sys.executable, "-m", "embodied_cf", "relabel", str(source), str(out), "--json", str(told)]
    return [*base, "--engine", engine, "--workers", workers, "--no-frames"]


def told(seen: Watched, out: Path) -> dict[str, Any]:
    result = json.loads(out.with_name("result.json").read_text())
    return {
        "steps": result["steps"],
        "labels": result["labels"],
        "seconds": result["timing"]["seconds"],
        "steps_per_second": result["timing"]["steps_per_second"],
        "process_seconds": seen.seconds,
        "cpu_seconds": sum(seen.cpu_seconds.values()),
        "growth_mb_per_million_steps": growth(seen, result["steps"]),
        "samples": [asdict(sample) for sample in seen.samples],
    }


def growth(seen: Watched, steps: int) -> float:
    """Return MB that the largest process grows per million steps: a line through the samples after the first fifth."""
    seconds = np.array([sample.seconds for sample in seen.samples])
    late = seconds >= seen.seconds / 5
    if late.sum() < 2:
        return float("nan")
    largest = np.array([sample.largest_mb for sample in seen.samples])
    return float(np.polyfit(seconds[late], largest[late], 1)[0] * seen.seconds / steps * 1e6)


def show(result: Mapping[str, Any]) -> None:
    base = result["runs"][0]["steps_per_second"]
    print(f"{result['steps']:,} steps in {result['shards']} shards")
    print(f"{'engine':6} {'CPUs':>4} {'steps/s':>9} {'ratio':>6} {'per CPU s':>9} "
          f"{'largest MB':>10} {'all MB':>7} {'MB per 1e6 steps':>16} {'load':>5}")  # fmt: skip
    for run in result["runs"]:
        largest = max(sample["largest_mb"] for sample in run["samples"])
        total = max(sample["total_mb"] for sample in run["samples"])
        print(f"{run['engine']:6} {run['workers']:4} {run['steps_per_second']:9,.0f} "
              f"{run['steps_per_second'] / base:6.2f} {run['steps'] / run['cpu_seconds']:9,.0f} {largest:10,.0f} "
              f"{total:7,.0f} {run['growth_mb_per_million_steps']:16.1f} {run['load_before']:5.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
