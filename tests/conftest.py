"""Fixtures that many tests share. Datasets are made once per session and never written to."""

import os
from pathlib import Path

import hypothesis
import makers
import pytest

# No deadline: a busy machine is no fault of the code. Derandomized: whether a change passes is no matter of luck.
# Whoever looks for new counterexamples runs `pytest --hypothesis-profile explore` as often as he likes.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("same")

ROOT = Path(__file__).parent.parent
_BRIDGE = Path(os.environ.get("EMBODIED_CF_BRIDGE", ROOT / "../shared/data/bridge_debug/bridge_dataset/1.0.0"))


@pytest.fixture(scope="session")
def driving(tmp_path_factory):
    return makers.driving(tmp_path_factory.mktemp("driving") / "1.0.0")


@pytest.fixture(scope="session")
def arm(tmp_path_factory):
    return makers.arm(tmp_path_factory.mktemp("arm") / "1.0.0")


@pytest.fixture(scope="session", params=["driving", "arm", *(["bridge"] if _BRIDGE.is_dir() else [])])
def source(request, driving, arm):
    """(directory, spec) of a nav set, of an arm set, and of real Bridge data where it lies beside the clone."""
    known = {"driving": (driving, None), "arm": (arm, "bridge"), "bridge": (_BRIDGE, "bridge")}
    return known[request.param]


@pytest.fixture(scope="session")
def relabelled(source, tmp_path_factory):
    """The source relabelled without a network: (source directory, spec, output directory, result)."""
    from embodied_cf.relabel.options import RelabelOptions
    from embodied_cf.relabel.runner import relabel

    directory, spec = source
    out = tmp_path_factory.mktemp("relabelled") / "out"
    return directory, spec, out, relabel(RelabelOptions(directory, out, spec))
