"""embodied-cf: counterfactual relabeling of robot and embodied-agent data.

The way of the data is the way of the code: `datasets` read episodes, `relabel` labels them. Import what you
need from its module (`from embodied_cf.datasets.rlds import open_dataset`); importing the root loads nothing
heavy.
"""

__version__ = "0.1.0"
