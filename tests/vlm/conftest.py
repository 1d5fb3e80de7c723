"""A real server process for each test that asks for one."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from vlm_helpers import Loopback


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Loopback]]:
    """Start servers: `start_server("--faults", "429,500")`; they end with the test."""
    processes = []

    def start(*arguments: str) -> Loopback:
        log = tmp_path / f"requests{len(processes)}.jsonl"
        script = Path(__file__).with_name("loopback_server.py")
        command = [sys.executable, str(script), "--log", str(log), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        return Loopback(int(process.stdout.readline()), log)

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def server(start_server: Callable[..., Loopback]) -> Loopback:
    """A server that does nothing wrong."""
    return start_server()
