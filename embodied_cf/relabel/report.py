"""The report of a relabel run: `OUT/labels/report.json` for machines, `report.html` for people.

The page is one file without any reference to the network. It looks at a seeded sample of episodes of the
labelled dataset, never at all of them, so its cost does not grow with the dataset. A reader marks labels there
and saves `decisions.jsonl`, one JSON object per marked label, which `embodied-cf labels filter --decisions`
applies:

    {"episode": "bridge_dataset/1.0.0/train/00000/00007", "label_set": "labels", "kind": "counterfactual",
     "start": 3, "end": 11, "instruction": "move left", "command": "move_left", "decision": "reject"}

`decision` is `accept` or `reject`; `episode` counts records of the *labelled* dataset.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from embodied_cf import __version__
from embodied_cf.datasets.contract import SCHEMA_VERSION, Episode, Labels
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.files import write_json, write_text
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.rlds import RldsDataset, open_dataset
from embodied_cf.datasets.shards import read_at
from embodied_cf.errors import RecordError
from embodied_cf.relabel.balance import LanguageBalance, Observation, language_balance, observe
from embodied_cf.relabel.build import Setting
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.output import Output
from embodied_cf.relabel.picture import Scale, draw_chunk
from embodied_cf.relabel.pipeline import Relabelled
from embodied_cf.relabel.report_counts import count_run
from embodied_cf.relabel.report_views import PALETTE, Branch, EpisodeView, LabelView, Viewer, middles
from embodied_cf.vlm.wording import plain  # placeholder
