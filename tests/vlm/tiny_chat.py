"""A model that chats about images, as users have it on disk, made so small that it takes a second: random weights.

Its tokens are the bytes of a text, so that any answer can be put into its mouth (`Dictation`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from loopback_server import PALETTE
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

SPECIAL = (
    "<pad>", "<bos>", "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>", "<|im_start|>",
    "<unk>",
)  # fmt: skip
END = SPECIAL.index("<end_of_utterance>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role | capitalize }}:"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
_SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}


def save_chat(folder: Path, template: str | None = TEMPLATE) -> Path:
    """Write the model into a folder and return it."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    text = {**_SIZES, "model_type": "llama", "vocab_size": len(tokenizer), "num_key_value_heads": 1,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END, "max_position_embeddings": 32768}  # fmt: skip
    eye = {**_SIZES, "image_size": 32, "patch_size": 8}
    config = Idefics3Config(
        vision_config=eye, text_config=text, image_token_id=SPECIAL.index("<image>"), scale_factor=2
    )
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    eyes = Idefics3ImageProcessorPil(
        size={"longest_edge": 32}, max_image_size={"longest_edge": 32}, do_image_splitting=False
    )
    processor = Idefics3Processor(eyes, tokenizer, image_seq_len=4, chat_template=template)
    processor.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: row for row, token in enumerate((*SPECIAL, *letters))}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<bos>", eos_token="<end_of_utterance>", unk_token="<unk>",
        additional_special_tokens=list(SPECIAL[3:7]),
    )  # fmt: skip


@dataclass(frozen=True)
class Prompted:
    """What the model was given: the conversation as text, and the colours that it sees."""

    text: str
    colours: list[str]
    digest: str
    told_colours: tuple[str, ...] = ()

    @property
    def schema(self) -> str:
        return re.search(r"named [\w-]+:\n```json\n(.*?)\n```", self.text, re.DOTALL)[1]


class _Spelled(LogitsProcessor):
    """Leaves one token possible at each step."""

    def __init__(self, answers: list[list[int]], begin: int) -> None:
        self.answers, self.begin = answers, begin

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        at = ids.shape[1] - self.begin
        wanted = [answer[at] if at < len(answer) else END for answer in self.answers]
        only = torch.full_like(scores, -torch.inf)
        only[torch.arange(len(wanted)), wanted] = 0
        return only


def dictate(chat: Any, say: Callable[[Prompted], str], aloud: bool = True) -> None:
    """Make the model answer what `say` makes of what it was given.

    `aloud`: it goes through the model token by token; otherwise the model is spared, which saves time.
    """
    generate, tokenizer = chat.model.generate, chat.processor.tokenizer

    def spelled(row: torch.Tensor, pixels: torch.Tensor | None, most: int) -> list[int]:
        text = tokenizer.decode(row).replace("<pad>", "")
        colours = [] if pixels is None else [_colour(frame) for frame in pixels]
        answer = tokenizer(say(Prompted(text, colours, str(hash((text, *colours))))), add_special_tokens=False)
        return [*answer.input_ids, END][:most]

    def dictated(input_ids: torch.Tensor, max_new_tokens: int, **rest: Any) -> torch.Tensor:
        pixels = rest.get("pixel_values")
        answers = [
            spelled(row, None if pixels is None else pixels[number], max_new_tokens)
            for number, row in enumerate(input_ids)
        ]
        if aloud:
            spelling = LogitsProcessorList([_Spelled(answers, input_ids.shape[1])])
            return generate(input_ids=input_ids, max_new_tokens=max_new_tokens, logits_processor=spelling, **rest)
        longest = max(map(len, answers))
        padded = [answer + [0] * (longest - len(answer)) for answer in answers]
        return torch.cat([input_ids, torch.tensor(padded)], dim=1)

    chat.model.generate = dictated


def _colour(frame: torch.Tensor) -> str:
    """Name the colour of a frame as the processor scaled it: (3, h, w), 1 is white, -1 is black."""
    seen = (frame[:, frame.shape[1] // 2, frame.shape[2] // 2] + 1) * 127.5
    return min(PALETTE, key=lambda name: float((seen - torch.tensor(PALETTE[name])).abs().sum()))
