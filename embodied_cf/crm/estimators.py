"""Estimators of a target policy's value from logs: `E.IPS()(batch).value`.

Each is a frozen dataclass whose docstring has formula, assumptions, sign and source. Other names lead here too:
replay is SNIPS with a 0/1 target and a uniform logger; the slate estimators SIPS, RIPS and cascade DR are TIS,
PDIS and SequentialDR over slots with discount 1.
"""

from embodied_cf.crm._composed import MIPS, Balanced, Kernel, Weighted
from embodied_cf.crm._decisions import (
    DM,
    DR,
    IPS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    ImplicitExploration,
    LogSmoothing,
    SubGaussianDR,
    SubGaussianIPS,
    SwitchDR,
)
from embodied_cf.crm._states import FQE, MarginalisedIS
from embodied_cf.crm._trajectories import PDIS, SNPDIS, SNTIS, TIS, SequentialDR, SNSequentialDR
from embodied_cf.crm.estimate import Estimate, Estimator

__all__ = [
    "DM",
    "DR",
    "FQE",
    "IPS",
    "MIPS",
    "PDIS",
    "SNDR",
    "SNIPS",
    "SNPDIS",
    "SNTIS",
    "TIS",
    "Balanced",
    "ClippedIPS",
    "DRos",
    "Estimate",
    "Estimator",
    "ImplicitExploration",
    "Kernel",
    "LogSmoothing",
    "MarginalisedIS",
    "SNSequentialDR",
    "SequentialDR",
    "SubGaussianDR",
    "SubGaussianIPS",
    "SwitchDR",
    "Weighted",
]
