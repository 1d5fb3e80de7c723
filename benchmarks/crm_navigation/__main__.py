"""Steering of a frozen driver among people: logged, improved offline, redeployed, and truly evaluated.

    python -m benchmarks.crm_navigation --seeds 3
    python -m benchmarks.crm_navigation --quick --work /tmp/crm

Each replicate is one JSON line in `--lines`; the same command goes on where it stopped, inside a replicate too, as
far as `--work` keeps its logs. Those are RLDS, so that this reads them, too:

    embodied-cf crm improve crm-work/0/stage_0 --low -1 --high 0 --out better.json
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.crm_improve import append, read
from benchmarks.crm_navigation.loop import Schedule, replicate
from benchmarks.crm_navigation.table import picture, show, truth_line
from benchmarks.crm_navigation.truth import find_truth
from embodied_cf.datasets.files import write_json, write_text

QUICK = Schedule(sizes=(60, 60), truth=16, gate=32)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--lines", type=Path, help="where finished replicates are kept")
    parser.add_argument("--work", type=Path, default=Path("crm-work"), help="logs, pages, picture")
    parser.add_argument("--seeds", type=int, default=3, help="replicates")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    told = parser.parse_args(arguments)
    torch.set_num_threads(1)  # one core, so that others may work
    schedule = QUICK if told.quick else Schedule()
    truth = find_truth(told.work / "truth", schedule.truth)
    lines = read(told.lines)
    for seed in range(1 if told.quick else told.seeds):
        if (key := f"replicate {seed}") not in lines:
            began = time.perf_counter(), time.process_time()
            lines[key] = replicate(seed, schedule, truth, told.work / str(seed))
            lines[key] |= {"wall_s": time.perf_counter() - began[0], "cpu_s": time.process_time() - began[1]}
            append(told.lines, {"key": key, **lines[key]})
        show(key, lines[key])
    if "truth" not in lines:
        lines["truth"] = truth_line(truth)
        append(told.lines, {"key": "truth", **lines["truth"]})
    write_text(told.work / "redeployments.svg", picture([row for key, row in lines.items() if key != "truth"]))
    if told.json:
        write_json(told.json, lines)


if __name__ == "__main__":
    main()
