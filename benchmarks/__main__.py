"""Run the benchmarks of speed, explanation and decisions named below: `python -m benchmarks [--quick] [--json DIR]`.

The others (what trains policies, drives them, audits labels or takes hours) run by themselves, as their heads say.
"""

import argparse
import subprocess
import sys
from pathlib import Path

SPEED = ("start_up", "relabel_speed", "vlm_dispatch", "render_speed", "env_speed", "stream_speed")
CRM = ("crm_coverage", "crm_improve", "crm_sequential", "crm_multilabel", "crm_navigation")
EXPLAIN = ("decisive_step", "planted_causes")


def main() -> None:
    """Run each benchmark in a process of its own, so that none inherits another's memory or threads."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=", ".join((*SPEED, *EXPLAIN, *CRM)))
    parser.add_argument("--json", type=Path, help="directory for the results as JSON")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    arguments = parser.parse_args()
    for name in (*SPEED, *EXPLAIN, *CRM):
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if arguments.json:
            arguments.json.mkdir(parents=True, exist_ok=True)
            command += ["--json", str(arguments.json / f"{name}.json")]
        if arguments.quick:
            command.append("--quick")
        print(f"\n$ python -m benchmarks.{name}", flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
