"""Pretrained models as users have them on disk, made so small that they take a second: random weights, few words."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

SPECIAL = (
    "<pad>", "<bos>", "<eos>", "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
    "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<unk>",
)  # fmt: skip
WORDS = (
    "go",
    "to",
    "the",
    "red",
    "green",
    "blue",
    "post",
    "drive",
    "bear",
    "turn",
    "left",
    "right",
    "stop",
    "User",
    ":",
)
_SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
_VOCABULARY = 40
_IMAGE = SPECIAL.index("<image>")
FAMILIES = ("paligemma", "smolvlm", "idefics3", "qwen2_5_vl")


def save_vlm(family: str, folder: Path) -> Path:
    """Write a model of a family into a folder and return it."""
    torch.manual_seed(0)
    _MAKE[family]().save_pretrained(folder)
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


def _siglip() -> dict:
    return {**_SIZES, "image_size": 32, "patch_size": 8}


def _paligemma():
    text = {**_SIZES, "model_type": "gemma", "vocab_size": _VOCABULARY, "num_key_value_heads": 1, "head_dim": 8}
    eye = {**_siglip(), "model_type": "siglip_vision_model", "projection_dim": 16}
    config = PaliGemmaConfig(vision_config=eye, text_config=text, image_token_index=_IMAGE, projection_dim=16)
    return PaliGemmaForConditionalGeneration(config)


def _idefics(config_class, model_class):
    text = {**_SIZES, "model_type": "llama", "vocab_size": _VOCABULARY, "num_key_value_heads": 1, "pad_token_id": 0}
    config = config_class(vision_config=_siglip(), text_config=text, image_token_id=_IMAGE, scale_factor=2)
    return model_class(config)


def _qwen():
    text = {
        **_SIZES, "vocab_size": _VOCABULARY, "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0},
    }  # fmt: skip
    eye = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 16,
        "fullatt_block_indexes": [1], "window_size": 56,
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        vision_config=eye, text_config=text, image_token_id=SPECIAL.index("<|image_pad|>"),
        vision_start_token_id=SPECIAL.index("<|vision_start|>"), video_token_id=39,
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config)


_MAKE = {
    "paligemma": _paligemma,
    "smolvlm": lambda: _idefics(SmolVLMConfig, SmolVLMForConditionalGeneration),
    "idefics3": lambda: _idefics(Idefics3Config, Idefics3ForConditionalGeneration),
    "qwen2_5_vl": _qwen,
}
