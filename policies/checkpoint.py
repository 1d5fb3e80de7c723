"""Policies on disk: a folder of `model.safetensors`, `config.json` and `stats.json`. No pickle, no dataset, no network.

A pretrained model that a policy is built on stays where it is; `config.json` names it and tells whether it changed.

A run directory holds such folders, one per saved step, and a link `last` to the newest.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pydantic
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.files import disk_errors, write_json
from embodied_cf.datasets.normalise import FILE as STATS
from embodied_cf.datasets.normalise import Normalizer
from embodied_cf.errors import CheckpointError, SpecError
from embodied_cf.policies.build import build_model
from embodied_cf.policies.config import DeviceName, ModelCard
from embodied_cf.policies.devices import device_of
from embodied_cf.policies.kept import load_kept
from embodied_cf.policies.vla import Vla, VlaPolicy

MODEL, CONFIG = "model.safetensors", "config.json"
LAST = "last"
FORMAT = 1
_PICKLES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
_REMEDY = "Name a run directory of `embodied-cf train`, or a checkpoint folder in one."


def save_policy(folder: Path, card: ModelCard, weights: Mapping[str, Tensor], normalizer: Normalizer) -> None:
    """Write a policy into an existing folder."""
    save_tensors(folder / MODEL, weights)
    write_json(folder / CONFIG, card.to_json())
    normalizer.save(folder)


def load_policy(path: Path, embodiment: Embodiment | None = None, device: DeviceName = "cpu") -> VlaPolicy:
    """Return the policy of a run directory (its last checkpoint) or of a checkpoint folder, computing on a device.

    Raises CheckpointError if it is absent or corrupted, or made for another body than `embodiment`.
    """
    folder = find_checkpoint(path)
    card = read_card(folder)
    if embodiment is not None:
        refuse_other_body(card, embodiment, folder)
    model = build_model(card)
    load_weights(model, folder / MODEL)
    return VlaPolicy(model.to(device_of(device)).eval(), Normalizer.load(folder))


def checkpoint_digest(path: Path) -> str:
    """Return what tells a checkpoint from another of the same name: sha256 of its files. Raises as `load_policy`."""
    folder = find_checkpoint(path)
    digest = hashlib.sha256()
    for name in (MODEL, CONFIG, STATS):
        with disk_errors(folder / name), open(folder / name, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint folder that a path means. Raises CheckpointError if there is none."""
    folder = path / LAST if (path / LAST).is_dir() else path
    absent = [name for name in (MODEL, CONFIG, STATS) if not (folder / name).is_file()]
    pickled = sorted(item.name for item in folder.glob("*") if item.suffix in _PICKLES)
    if absent and pickled:
        told = f"{pickled[0]} may hold a pickle, which is never opened"
        raise CheckpointError(told, where=folder, remedy="Save the weights as model.safetensors.")
    if absent:
        raise CheckpointError(f"no checkpoint: {', '.join(absent)} missing", where=folder, remedy=_REMEDY)
    return folder


def read_card(folder: Path) -> ModelCard:
    """Return what the checkpoint's model is made of."""
    table = read_json(folder / CONFIG)
    if table.get("format") != FORMAT:
        raise CheckpointError(
            f"format {table.get('format')!r} where this version reads {FORMAT}",
            where=folder / CONFIG,
            remedy="Use the version of embodied-cf that wrote it.",
        )
    try:
        return pydantic.TypeAdapter(ModelCard).validate_python(table)
    except (pydantic.ValidationError, SpecError) as error:
        raise CheckpointError(f"not a model's configuration ({error})", where=folder / CONFIG, remedy=_REMEDY) from None


def refuse_other_body(card: ModelCard, embodiment: Embodiment, folder: Path) -> None:
    """Raise CheckpointError unless the checkpoint is for this body."""
    if card.embodiment != embodiment:
        raise CheckpointError(
            f"made for the embodiment {card.embodiment.name!r} ({_shape(card.embodiment)}), "
            f"not for {embodiment.name!r} ({_shape(embodiment)})",
            where=folder,
            remedy="Use a checkpoint trained on data of this robot.",
        )


def _shape(body: Embodiment) -> str:
    return f"{body.chunk_length} x {body.chunk_dimensions}"


def load_weights(model: Vla, path: Path) -> None:
    """Fill a model from a file. Raises CheckpointError if the file is corrupted or another model's."""
    try:
        load_kept(model, load_tensors(path))
    except RuntimeError as error:  # other names or shapes
        told = " ".join(str(error).split())
        raise CheckpointError(f"weights of another model ({told})", where=path, remedy=_REMEDY) from None


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors."""
    with disk_errors(path):
        path.write_bytes(save({name: value.detach().contiguous() for name, value in tensors.items()}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Return named tensors. Raises CheckpointError if the file is absent or corrupted."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"not readable weights ({error})", where=path, remedy="Restore the file or use an earlier checkpoint."
        ) from None


def read_json(path: Path) -> dict:
    """Return the table of a JSON file. Raises CheckpointError if it is absent or no table."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"not readable ({error})", where=path, remedy=_REMEDY) from None
    if not isinstance(table, dict):
        raise CheckpointError("not a table", where=path, remedy=_REMEDY)
    return table
