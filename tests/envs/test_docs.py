"""The Python that the simulator's pages show runs as it stands there."""

import re
from pathlib import Path

import numpy as np
from scenes import room

from embodied_cf.language.grammar import parse

DOCS = Path(__file__).parents[2] / "docs"


def python_of(page):
    return "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL))


def test_the_simulators_page():
    names = {}
    exec(python_of("simulator.md"), names)
    assert names["observation"]["image"].shape == (64, 64, 3)
    assert names["many"].num_envs == 64
    assert names["run"].pose.shape == (1000, 41, 3)
    assert names["pushed"].max() > 0
    names["env"].close()


def test_the_instructions_page():
    """The canonical form that a comment promises is the one that comes out."""
    text = python_of("instructions.md")
    scene = room([("plant", "green", 3.0, 0.0)], doors=[("red", 4.0, -0.5, 4.0, 0.5)])
    names = {"scene": scene, "poses": np.zeros((40, 3))}
    exec(text, names)
    (promised,) = re.findall(r"canonical\(asked\)  # '(.*)'", text)
    assert names["canonical"](names["asked"]) == promised
    assert parse(names["phrase"](names["asked"], np.random.default_rng(0), held_out=True)) == names["asked"]
