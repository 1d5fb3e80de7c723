"""Pretrained vision-language models on disk: found, told apart by their files, loaded frozen with adapters (LoRA)."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from embodied_cf.errors import CheckpointError, MissingLibraryError, UsageError
from embodied_cf.policies.config import HfVlaConfig
from embodied_cf.policies.quiet import quietly

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_TAIL = 1 << 16
"""Bytes at the end of a file of weights that stand for it: fine-tuning changes them."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Base:
    """A pretrained model: its network without language head, and how it reads text and frames."""

    model: Any
    tokenizer: Any
    mean: tuple[float, float, float]
    """Of a frame's red, green and blue in [0, 1]; taken away, then divided by `std`."""
    std: tuple[float, float, float]


def find_base(name: str, option: str = "model.base") -> Path:
    """Return the directory of a pretrained model; one that the Hugging Face hub has is downloaded once.

    Raises UsageError, whose remedy names `option`, if there is none.
    """
    if not name:
        raise UsageError("no pretrained model is named", remedy="Use --set model.base=DIR.")
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder.resolve()
    if folder.exists() or not _HUB_NAME.fullmatch(name):
        raise UsageError("no pretrained model here: no config.json", where=name, remedy=f"Name another {option}.")
    return _from_hub(name, option)


def _from_hub(name: str, option: str) -> Path:
    with needs_extra():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = f"Name a directory as {option}, or download the model first."
        raise UsageError(
            f"neither a directory nor a model that the hub gives ({told})", where=name, remedy=remedy
        ) from None


def fingerprint(folder: Path) -> str:
    """Return a hash that changes with the model's configuration and its weights (of each file, its size and end)."""
    sha = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            sha.update(f"{path.name} {size}".encode() + file.read())
    return sha.hexdigest()[:16]


def refuse_changed(folder: Path, known: str) -> None:
    """Raise CheckpointError unless the model is the one that a policy was trained on."""
    found = fingerprint(folder)
    if found != known:
        raise CheckpointError(
            f"not the pretrained model that the policy was trained on (fingerprint {found}, not {known})",
            where=folder,
            remedy="Restore it, or name its place in config.json under model.base.",
        )


def load_settings(folder: Path) -> Any:
    """Return a model's configuration, as transformers reads it. Raises CheckpointError for what is not one."""
    with needs_extra():
        from transformers import AutoConfig
    with readable(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_base(folder: Path, config: HfVlaConfig) -> Base:
    """Load a model. Raises CheckpointError if its files are not all there and whole."""
    with needs_extra():
        from transformers import AutoModel, AutoTokenizer
    with readable(folder), quietly():
        model, found = AutoModel.from_pretrained(
            folder,
            dtype=DTYPES[config.weights],
            local_files_only=True,
            use_safetensors=True,  # never a pickle
            trust_remote_code=False,
            output_loading_info=True,
        )
        if found["missing_keys"]:  # transformers would draw them at random
            raise ValueError(f"no weights for {', '.join(sorted(found['missing_keys']))}")
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        eye = _image_processor(folder)
        return Base(model, tokenizer, tuple(eye["image_mean"]), tuple(eye["image_std"]))


def _image_processor(folder: Path) -> dict[str, Any]:
    """Return the image processor's settings, by the file that transformers wrote before version 5 or since."""
    older = folder / "preprocessor_config.json"
    if older.is_file():
        return json.loads(older.read_text(encoding="utf-8"))
    return json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))["image_processor"]


def adapt(model: Any, config: HfVlaConfig) -> None:
    """Freeze a model and give its linear layers low-rank adapters (LoRA, arXiv 2106.09685), which train."""
    with needs_extra():
        from peft import LoraConfig, inject_adapter_in_model
    model.requires_grad_(False)
    lora = LoraConfig(r=config.rank, lora_alpha=2 * config.rank, target_modules="all-linear")
    inject_adapter_in_model(lora, model if config.adapt_vision else model.get_decoder())
    if config.recompute:
        model.activation_checkpointing_enable()


@contextmanager
def needs_extra() -> Iterator[None]:
    """Name the extra if a package is missing. Raises MissingLibraryError."""
    try:
        yield
    except ImportError as error:
        raise MissingLibraryError(
            f"pretrained models need packages that are not installed ({error})",
            remedy="pip install 'embodied-cf[hf]'.",
        ) from None


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Tell of a model's files that are absent, broken or of an unknown kind. Raises CheckpointError."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        told = " ".join(str(error).split())
        raise CheckpointError(
            f"not a readable pretrained model ({told})", where=folder, remedy="Download it again."
        ) from None
