"""What each preset gets to: one run each, through the command, on labelled logs made here.

Looked at on held-out episodes, as every run does: the error of the chunk in metres by kind of label, and the
instruction sensitivity, how far what is done moves, in metres, when another instruction is given for the same
observation. Whoever trains the same preset on similar data can see whether his set-up works. The `arm` preset learns
from logs of the tabletop, all others from logs of rooms.

    python -m benchmarks.presets --steps 500 --work DIR --json docs/results/presets.json

Presets that stand in the JSON already are not done again.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from embodied_cf.train.config import PRESETS

MEASURED = tuple(name for name in PRESETS if name != "hf")
"""`hf` needs a GPU and a base that is not here."""
EXTRA = {"atomic": ("--kinds", "hindsight", "atomic")}
LOGS = {"rooms": ("EmbodiedCF/Rooms-v0", ("--captioner", "scene", "--synthesizer", "goal")),
        "tabletop": ("EmbodiedCF/Tabletop-v0", ())}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--steps", type=int, help="default: the preset's own")
    parser.add_argument("--episodes", type=int, default=400, help="logged")
    parser.add_argument("--only", nargs="+", default=MEASURED)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    episodes, steps = (4, 4) if arguments.quick else (arguments.episodes, arguments.steps)
    rows = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else []
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        for name in arguments.only:
            if name in {row["preset"] for row in rows}:
                continue
            rows.append(measured(name, labelled("tabletop" if name == "arm" else "rooms", episodes, work), steps, work))
            print(rows[-1], flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def labelled(world: str, episodes: int, work: Path) -> Path:
    """Return logs with labels, made if they are not there."""
    environment, how = LOGS[world]
    logs, out = (work / f"{world}-{episodes}" / part / "1.0.0" for part in ("logs", "labelled"))
    if not (out / "labels/report.json").exists():
        run("collect", "--env", environment, "--episodes", str(episodes), "--out", str(logs))
        run("relabel", str(logs), str(out), *how)
    return out


def measured(name: str, data: Path, steps: int | None, work: Path) -> dict[str, object]:
    """Train a preset; return what its last look at held-out episodes found."""
    out = work / f"run-{name}"
    options = ("--preset", name, *EXTRA.get(name, ()), *(() if steps is None else ("--set", f"schedule.steps={steps}")))
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run("train", "--data", str(data), "--out", str(out), "--overwrite", *options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    look = [line for line in lines if "validation" in line][-1]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "preset": name,
        "command": f"embodied-cf train --data DIR --out RUN {' '.join(options)}",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}",
        "step": look["step"],
        "cpu_seconds": round(cpu, 1),
        "wall_seconds": round(time.monotonic() - started, 1),
        "validation": look["validation"],
    }


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "embodied_cf", *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
