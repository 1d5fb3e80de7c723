"""Pretrained models as users have them on disk, made so small that they take a second: random weights, few words."""

from pathlib import Path

from benchmarks import random_vlms
from benchmarks.random_vlms import IMAGE, IMAGE_PAD, VISION_START

_SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
_WORDS = {"vocab_size": 40, "num_key_value_heads": 1}
_SIGLIP = {**_SIZES, "image_size": 32, "patch_size": 8}
_IDEFICS = {
    "vision_config": _SIGLIP, "text_config": {**_SIZES, **_WORDS, "model_type": "llama", "pad_token_id": 0},
    "image_token_id": IMAGE, "scale_factor": 2,
}  # fmt: skip
_PALIGEMMA = {
    "vision_config": {**_SIGLIP, "model_type": "siglip_vision_model", "projection_dim": 16},
    "text_config": {**_SIZES, **_WORDS, "model_type": "gemma", "head_dim": 8},
    "image_token_index": IMAGE, "projection_dim": 16,
}  # fmt: skip
_QWEN = {
    "vision_config": {
        "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 16,
        "fullatt_block_indexes": [1], "window_size": 56,
    },
    "text_config": {
        **_SIZES, **_WORDS,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0},
    },
    "image_token_id": IMAGE_PAD, "vision_start_token_id": VISION_START, "video_token_id": 39,
}  # fmt: skip
_TINY = {"paligemma": _PALIGEMMA, "smolvlm": _IDEFICS, "idefics3": _IDEFICS, "qwen2_5_vl": _QWEN}
FAMILIES = tuple(_TINY)


def save_vlm(family: str, folder: Path) -> Path:
    """Write a model of a family into a folder and return it."""
    return random_vlms.save_vlm({"model_type": family, **_TINY[family]}, folder)
