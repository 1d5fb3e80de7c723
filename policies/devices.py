"""What networks compute on."""

import os

import torch

from embodied_cf.errors import UsageError
from embodied_cf.policies.config import DeviceName


def device_of(name: DeviceName) -> torch.device:
    """Return this process's device; LOCAL_RANK tells which of several. Raises UsageError if there is none."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UsageError("no CUDA device is usable", remedy="Ask for the device cpu.")
    if name == "cpu" or not there:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
