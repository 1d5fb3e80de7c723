import pytest
import torch

from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def labelled(driving, tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled") / "1.0.0"
    relabel(RelabelOptions(driving, out, None))
    return out


@pytest.fixture(scope="session")
def labelled_arm(arm, tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled_arm") / "1.0.0"
    relabel(RelabelOptions(arm, out, "bridge"))
    return out
