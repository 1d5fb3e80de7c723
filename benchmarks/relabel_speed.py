"""Relabelling without a model, against writing the same labelled dataset with tensorflow-datasets.

Both run in turn, in processes of their own, on one core, on the same data: 3 JPEG cameras of 96x96 per step,
100 steps per episode, about 1.2 MB per episode. TFDS gets the labels ready-made and passes image bytes
through, so its time is re-encoding alone, while ours is the whole job: reading with checksums, first pass,
segmentation, captions, proposals, synthesis, verification, writing, hashes, report. Before the clock starts
each side has imported its libraries and opened the dataset's metadata; what a fresh process spends besides the
work (interpreter, imports, exit) is given apart as its start-up.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--child", choices=["ours", "tfds"])
    parser.add_argument("--paths", nargs=2, type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, *arguments.paths)
        return
    with tempfile.TemporaryDirectory() as scratch:
        result = compare(Path(scratch), arguments.quick)
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def compare(scratch: Path, quick: bool) -> dict[str, object]:
    """Measure ours and TFDS' way in turn on one size, then ours on a larger one to see the memory stay flat."""
    small, large, rounds = (20, 60, 1) if quick else (500, 1500, 3)
    source = data.make(scratch / "small" / "1.0.0", small, shards=5)
    ours, theirs = [], []
    for number in range(rounds):
        out = scratch / f"out{number}"
        ours.append(measure("ours", source, out))
        theirs.append(measure("tfds", out, scratch / f"tfds{number}"))
        shutil.rmtree(out)
        shutil.rmtree(scratch / f"tfds{number}")
    big = measure("ours", data.make(scratch / "large" / "1.0.0", large, shards=15), scratch / "large_out")
    return {"steps": small * 100, "large_steps": large * 100, "ours": ours, "tfds": theirs, "large": big}


def measure(who: str, source: Path, out: Path) -> dict[str, float]:
    """Run one side in a fresh process and return what it says of itself."""
    command = [sys.executable, "-m", "benchmarks.relabel_speed", "--child", who, "--paths", source, out]
    started = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    wall = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**measured, "start_up_seconds": wall - measured["seconds"]}


def child(who: str, source: Path, out: Path) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    run = ours if who == "ours" else tfds_way
    prepared = run(source, out)
    started, cpu = time.perf_counter(), time.process_time()
    steps = prepared()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"steps": steps, "seconds": seconds, "cpu_seconds": cpu, "peak_rss_mb": peak}))


def ours(source: Path, out: Path):  # type: ignore[no-untyped-def]
    from embodied_cf.datasets.rlds import open_dataset
    from embodied_cf.relabel.options import RelabelOptions
    from embodied_cf.relabel.runner import relabel

    open_dataset(source)  # imports tensorflow-datasets, as the other side does before its clock starts
    return lambda: relabel(RelabelOptions(source, out)).steps


def tfds_way(source: Path, out: Path):  # type: ignore[no-untyped-def]
    import tensorflow as tf
    import tensorflow_datasets as tfds

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    builder = tfds.builder_from_directory(source)
    skip = {"steps": tfds.decode.SkipDecoding()}

    def examples():  # type: ignore[no-untyped-def]
        episodes = tfds.as_numpy(builder.as_dataset(split="train", decoders=skip))
        for key, episode in enumerate(episodes):
            stacked = episode["steps"]
            count = len(stacked["reward"])
            yield key, {**episode, "steps": [row(stacked, step) for step in range(count)]}

    def run() -> int:
        tfds.dataset_builders.store_as_tfds_dataset(
            name="rewritten", version="1.0.0", features=builder.info.features, split_datasets={"train": examples()},
            data_dir=str(out), disable_shuffling=True,
        )  # fmt: skip
        return int(builder.info.splits["train"].num_examples) * 100

    return run


def row(stacked: dict, step: int) -> dict:
    return {key: row(value, step) if isinstance(value, dict) else value[step] for key, value in stacked.items()}


def show(result: dict) -> None:
    rates = {who: [done["steps"] / done["seconds"] for done in result[who]] for who in ("ours", "tfds")}
    ratios = [a / b for a, b in zip(rates["ours"], rates["tfds"], strict=True)]
    for who, name in (("ours", "embodied-cf relabel"), ("tfds", "TFDS re-encoding")):
        peak = max(done["peak_rss_mb"] for done in result[who])
        cpu = statistics.median(done["steps"] / done["cpu_seconds"] for done in result[who])
        start_up = statistics.median(done["start_up_seconds"] for done in result[who])
        print(
            f"{name:22} {spread(rates[who])} steps/s wall, {cpu:8,.0f} per CPU second, peak {peak:5.0f} MB, "
            f"start-up {start_up:.1f} s"
        )
    print(f"ratio                  {spread(ratios, 1)}")
    big = result["large"]
    print(
        f"{result['large_steps']:,} steps: {big['steps'] / big['seconds']:,.0f} steps/s, "
        f"peak {big['peak_rss_mb']:.0f} MB"
    )


def spread(values: list[float], digits: int = 0) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:8,.{digits}f} (min {low:,.{digits}f}, max {high:,.{digits}f}, n {len(values)})"


if __name__ == "__main__":
    main()
