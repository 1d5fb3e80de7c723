"""Fixtures around small healthy driving logs (`tiny`), to be broken one thing at a time."""

import pytest
from tiny import tiny_features, write_records

from embodied_cf.datasets.features import flatten
from embodied_cf.datasets.spec import DatasetSpec
from embodied_cf.datasets.writer import encode_example


@pytest.fixture
def write_tiny(tmp_path):
    """Return a function (episodes, tree) -> dataset directory."""

    def write(episodes, tree=None, promised=None, name="tiny"):
        tree = tree or tiny_features()
        records = [encode_example(flatten(tree), episode) for episode in episodes]
        return write_records(tmp_path / name / "1.0.0", records, tree, promised)

    return write


@pytest.fixture
def tiny_spec():
    return DatasetSpec(
        "tiny", "nav", 0.25, {"primary": "observation/image"}, {"pose": "observation/pose", "action": "action"},
        ("language_instruction",), last_action_valid=True,
    )  # fmt: skip
