"""What `embodied-cf serve` does."""

from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from embodied_cf.policies.checkpoint import load_policy
from embodied_cf.policies.config import DeviceName
from embodied_cf.policies.server import make_server


def run_serve(run: Path, host: str, port: int, guidance: float, sample: bool, device: DeviceName) -> int:
    """Serve a run's last checkpoint until interrupted."""
    torch.set_num_threads(1)
    policy = replace(load_policy(run, device=device), guidance=guidance, sample=sample)
    with make_server(policy, host, port) as server:
        Console(stderr=True).print(f"{run} answers at http://{host}:{server.server_address[1]} until Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0
