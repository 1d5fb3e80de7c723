import pytest
import torch

from embodied_cf.errors import UsageError
from embodied_cf.policies.devices import device_of


def test_no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"no CUDA device is usable\. Ask for the device cpu\."):
        device_of("cuda")
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")


def test_a_launcher_tells_which(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_of("auto") == device_of("cuda") == torch.device("cuda", 3)
    assert chosen == [torch.device("cuda", 3)] * 2
    assert device_of("cpu") == torch.device("cpu")
