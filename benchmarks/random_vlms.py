"""Pretrained vision-language models as users have them on disk, but with random weights and few words.

What a model costs depends on its shapes alone, and what reads its files cannot tell: so nothing is downloaded. Shapes
are those of the `config.json` of HuggingFaceTB/SmolVLM-500M-Instruct, google/paligemma-3b-pt-224 and
Qwen/Qwen2.5-VL-3B-Instruct (arXiv 2504.05299, 2407.07726, 2502.13923).
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

SPECIAL = (
    "<pad>", "<bos>", "<eos>", "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
    "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<unk>",
)  # fmt: skip
WORDS = (
    "go", "to", "the", "red", "green", "blue", "post", "drive", "bear", "turn", "left", "right", "stop", "User", ":",
)  # fmt: skip
IMAGE, VISION_START, IMAGE_PAD = (SPECIAL.index(name) for name in ("<image>", "<|vision_start|>", "<|image_pad|>"))

SIZES: dict[str, dict[str, Any]] = {
    "smolvlm-500m": {
        "model_type": "smolvlm", "image_token_id": IMAGE, "scale_factor": 4,
        "vision_config": {
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "image_size": 512, "patch_size": 16,
        },
        "text_config": {
            "model_type": "llama", "vocab_size": 49280, "hidden_size": 960, "intermediate_size": 2560,
            "num_hidden_layers": 32, "num_attention_heads": 15, "num_key_value_heads": 5, "pad_token_id": 0,
        },
    },
    "paligemma-3b": {
        "model_type": "paligemma", "image_token_index": IMAGE, "projection_dim": 2048,
        "vision_config": {
            "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304,
            "num_hidden_layers": 27, "num_attention_heads": 16, "image_size": 224, "patch_size": 14,
            "projection_dim": 2048, "vision_use_head": False,
        },
        "text_config": {
            "model_type": "gemma", "vocab_size": 257216, "hidden_size": 2048, "intermediate_size": 16384,
            "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256,
        },
    },
    "qwen2.5-vl-3b": {
        "model_type": "qwen2_5_vl", "image_token_id": IMAGE_PAD, "vision_start_token_id": VISION_START,
        "tie_word_embeddings": True,
        "vision_config": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048,
            "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
        },
        "text_config": {
            "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1000000.0},
        },
    },
}  # fmt: skip


def save_vlm(settings: dict[str, Any], folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Path:
    """Write a model of these settings (a `config.json` with its `model_type`) into a folder and return it."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**settings), dtype=dtype)
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: row for row, token in enumerate((*SPECIAL, *WORDS))}
    inner = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    special = [token for token in SPECIAL if token not in ("<pad>", "<unk>", "<bos>", "<eos>")]
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", bos_token="<bos>", eos_token="<eos>",
        additional_special_tokens=special,
    )  # fmt: skip
