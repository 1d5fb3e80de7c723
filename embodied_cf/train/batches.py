"""Batches on their way into the model."""

from dataclasses import fields, replace

import numpy as np
from jaxtyping import Int64

from embodied_cf.datasets.batch import Batch
from embodied_cf.errors import UsageError
from embodied_cf.policies.vla import Vla


def understood(model: Vla, batch: Batch) -> Batch:
    """Return the samples whose instruction the model can read. Raises UsageError if there are none."""
    rows = np.flatnonzero([model.understands(text) for text in batch.instruction])
    if len(rows) == 0:
        raise UsageError(
            f"no instruction of a batch can be read, such as {batch.instruction[0]!r}",
            remedy="The atomic policy reads commands only: use --kinds hindsight atomic, or another --preset.",
        )
    return batch if len(rows) == len(batch) else take(batch, rows)


def take(batch: Batch, rows: Int64[np.ndarray, " n"]) -> Batch:
    """Return the chosen samples, in the order given."""
    arrays = {part.name: getattr(batch, part.name) for part in fields(batch)}
    said = tuple(batch.instruction[row] for row in rows.tolist())
    return replace(batch, **{name: value[rows] for name, value in arrays.items() if name != "instruction"},
                   instruction=said)  # fmt: skip
