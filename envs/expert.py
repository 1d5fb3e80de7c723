"""The expert: knows the map and what the instruction means, and drives accordingly."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.avoid import avoid
from embodied_cf.envs.plans import plan
from embodied_cf.envs.pursuit import Progress, Routes, pursue
from embodied_cf.envs.scene import Scene, Worlds, stack
from embodied_cf.envs.state import State, initial_state
from embodied_cf.language.instruction import Instruction
