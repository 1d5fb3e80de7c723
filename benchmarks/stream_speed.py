"""Labelled samples into torch, 64x64 in batches of 64, against a tf.data pipeline in the manner of dlimp and octo.

Both read the same relabelled dataset (one 64x64 JPEG camera, 100 steps per episode) in turn, in processes of their
own, on one core. Ours draws kinds, observations and instructions from the mixture and looks up frames in the cache of
decoded frames; building that cache, JPEG decoding included, is counted apart. Theirs reads `views/steps` as dlimp does
(`SkipDecoding`), gathers an action chunk per step and the hindsight text, flattens, shuffles 2 000 encoded frames,
decodes, batches and hands numpy to torch; it does less, since it knows one text per step and no counterfactual. Each
clock starts after the first batch, so neither opening nor filling the shuffle buffer counts.
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
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

SIZE, BATCH, HORIZON = (64, 64), 64, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--child", choices=sorted(SIDES))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batches", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.data, arguments.batches)
        return
    with tempfile.TemporaryDirectory() as scratch:
        result = compare(Path(scratch), arguments.quick)
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def compare(scratch: Path, quick: bool) -> dict[str, Any]:
    """Measure both sides in turn, then ours on three times the data and over more batches, for the memory."""
    episodes, batches, rounds = (12, 15, 1) if quick else (160, 240, 5)
    small = make(scratch / "small", episodes)
    build = [measure("build", small, 0) for _ in range(min(rounds, 3))]
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(measure("ours", small, 10 * batches))
        theirs.append(measure("theirs", small, batches))
    large = make(scratch / "large", 3 * episodes)
    measure("build", large, 0)
    longer = {"more data": measure("ours", large, 10 * batches), "more batches": measure("ours", small, 40 * batches)}
    load = os.getloadavg()[0]
    return {"frames": 100 * episodes, "build": build, "ours": ours, "theirs": theirs, "longer": longer, "load": load}


def make(directory: Path, episodes: int) -> Path:
    """Write and relabel the driving sample."""
    from embodied_cf.datasets.sample import SampleSize, write_sample
    from embodied_cf.relabel.options import RelabelOptions
    from embodied_cf.relabel.runner import relabel

    write_sample(directory / "source" / "1.0.0", SampleSize(4, episodes // 4, 100, SIZE[0]))
    relabel(RelabelOptions(directory / "source" / "1.0.0", directory / "labelled" / "1.0.0"))
    return directory / "labelled" / "1.0.0"


def measure(who: str, data: Path, batches: int) -> dict[str, float]:
    """Run one side in a fresh process and return what it says of itself."""
    command = [sys.executable, "-m", "benchmarks.stream_speed", "--child", who, "--data", data, "--batches", batches]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def child(who: str, data: Path, batches: int) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps(SIDES[who](data, batches)))


def timed(batches: Iterator[Any], count: int) -> dict[str, float]:
    """Return what `count` batches cost after the first one."""
    next(batches)
    started, cpu = time.perf_counter(), time.process_time()
    samples = BATCH * sum(1 for _ in islice(batches, count))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"samples": samples, "seconds": seconds, "cpu_seconds": cpu, **memory()}


def memory() -> dict[str, float]:
    """Return peak resident memory, mapped files included, and what is resident now without them, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"peak_rss_mb": peak, "anonymous_mb": int(lines["RssAnon"].split()[0]) / 1024}


def open_stream(data: Path):  # type: ignore[no-untyped-def]
    from embodied_cf.datasets.streams import Source, Stream

    return Stream((Source(data),), SIZE, BATCH, holdout=0.0)


def build(data: Path, batches: int) -> dict[str, float]:
    del batches
    shutil.rmtree(data.with_name(f".{data.name}.cache"), ignore_errors=True)
    started = time.perf_counter()
    stream = open_stream(data)
    first = time.perf_counter() - started
    started = time.perf_counter()
    open_stream(data)
    return {"frames": stream.observations, "seconds": first, "again": time.perf_counter() - started, **memory()}


def ours(data: Path, batches: int) -> dict[str, float]:
    import torch

    stream = open_stream(data)

    def run() -> Iterator[Any]:
        for epoch in range(batches):
            for batch in stream.batches(epoch):
                yield torch.from_numpy(batch.image), torch.from_numpy(batch.action), batch.instruction

    return timed(run(), batches)


def theirs(data: Path, batches: int) -> dict[str, float]:
    import tensorflow as tf
    import tensorflow_datasets as tfds
    import torch

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    builder = tfds.builder_from_directory(data / "views" / "steps")
    episodes = builder.as_dataset(split="train", shuffle_files=True, decoders={"steps": tfds.decode.SkipDecoding()})

    def chunked(episode):  # type: ignore[no-untyped-def]
        steps = episode["steps"]
        count = tf.shape(steps["action"])[0]
        at = tf.range(count)[:, None] + tf.range(HORIZON)[None]
        return {
            "image": steps["observation"]["image"],
            "action": tf.gather(steps["action"], tf.minimum(at, count - 1)),
            "mask": at < count,
            "instruction": steps["language_instruction_hindsight"],
        }

    def decoded(step):  # type: ignore[no-untyped-def]
        return {**step, "image": tf.io.decode_jpeg(step["image"], channels=3)}

    trajectories = episodes.repeat().map(chunked, num_parallel_calls=1)
    flat = trajectories.interleave(tf.data.Dataset.from_tensor_slices, cycle_length=4)  # quicker than unbatch
    decoded_steps = flat.shuffle(2000).map(decoded, num_parallel_calls=1)
    batched = decoded_steps.batch(BATCH, drop_remainder=True).prefetch(2)

    def run() -> Iterator[Any]:
        for batch in batched.as_numpy_iterator():
            texts = [text.decode() for text in batch["instruction"]]
            yield torch.from_numpy(batch["image"]), torch.from_numpy(batch["action"]), texts

    return timed(run(), batches)


SIDES = {"build": build, "ours": ours, "theirs": theirs}


def show(result: dict[str, Any]) -> None:
    rates = {who: [one["samples"] / one["seconds"] for one in result[who]] for who in ("ours", "theirs")}
    cpu = {who: [one["samples"] / one["cpu_seconds"] for one in result[who]] for who in ("ours", "theirs")}
    for who, name in (("ours", "embodied-cf stream"), ("theirs", "tf.data pipeline")):
        rate = f"{spread(rates[who])} samples/s wall, {spread(cpu[who])} per CPU second"
        print(f"{name:20} {rate}, {memories(result[who][-1])}")
    print(f"ratio, pair by pair  {ratios(rates)} wall, {ratios(cpu)} CPU")
    build = result["build"]
    print(
        f"building the cache   {spread([one['frames'] / one['seconds'] for one in build])} frames/s, opening it again "
        f"{1000 * min(one['again'] for one in build):.0f} ms, {memories(build[-1])}"
    )
    for name, one in result["longer"].items():
        print(f"ours, {name:14} {one['samples'] / one['seconds']:8,.0f} samples/s, {memories(one)}")
    print(f"load of the machine at the end: {result['load']:.1f}")


def ratios(rates: dict[str, list[float]]) -> str:
    return spread([a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)], 1)


def memories(one: dict[str, float]) -> str:
    return f"peak {one['peak_rss_mb']:,.0f} MB of which {one['anonymous_mb']:,.0f} MB are no mapped files"


def spread(values: list[float], digits: int = 0) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:8,.{digits}f} (min {low:,.{digits}f}, max {high:,.{digits}f}, n {len(values)})"


if __name__ == "__main__":
    main()
