"""What a process and all that it started use, read from /proc while they run (Linux)."""

import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1 << 20
_RAY_ITSELF = ("raylet", "gcs_server", "log_monitor.py", "agent.py", "setup_worker", "monitor.py")


@dataclass(frozen=True)
class Sample:
    """Resident memory in MB at one moment: of the largest process that runs our code, and of all together."""

    seconds: float
    largest_mb: float
    total_mb: float


@dataclass
class Watched:
    """A finished command: what it printed, how long it took, what it used."""

    output: str = ""
    seconds: float = 0.0
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)


def watch(command: list[str], every_s: float) -> Watched:
    """Run a command and look at it every so often until it ends. Raises SystemExit with its words if it fails."""
    seen, started = Watched(), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            _look(process.pid, time.perf_counter() - started, seen)
            time.sleep(every_s)
        seen.seconds = time.perf_counter() - started
        seen.output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors[-3000:])
    return seen


def _look(root: int, seconds: float, seen: Watched) -> None:
    found = [_read(pid) for pid in _family(root)]
    alive = [row for row in found if row is not None]
    for pid, cpu, _, _ in alive:
        seen.cpu_seconds[pid] = cpu
    ours = [rss for _, _, rss, ours in alive if ours and rss]  # one that has ended and was not yet seen to holds none
    if ours:
        seen.samples.append(Sample(seconds, max(ours), sum(rss for _, _, rss, _ in alive)))


def _family(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    family = [root]
    for pid in family:  # grows while it is read
        family += children.get(pid, [])
    return family


def _read(pid: int) -> tuple[int, float, float, bool] | None:
    """Return (pid, CPU seconds, resident MB, whether it runs our code); None if it is gone."""
    fields = _stat(pid)
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    if not fields:
        return None
    cpu = (int(fields[11]) + int(fields[12])) / _TICK
    return pid, cpu, int(fields[21]) * _PAGE / _MB, not any(name in command for name in _RAY_ITSELF)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (proc(5)); nothing if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []
