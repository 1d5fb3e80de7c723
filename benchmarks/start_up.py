"""How long it takes until something happens: import and --help, each in a fresh process."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

CASES = {
    "python, nothing imported": ["-c", "pass"],
    "import embodied_cf": ["-c", "import embodied_cf"],
    "embodied-cf --help": ["-m", "embodied_cf", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    runs = 3 if arguments.quick else 11
    result = {name: [seconds(command) for _ in range(runs)] for name, command in CASES.items()}
    for name, times in result.items():
        print(f"{name:28} {statistics.median(times):.3f} s  (min {min(times):.3f}, max {max(times):.3f}, n {runs})")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
