"""A pretrained vision-language model that acts: learned action queries follow the prompt, a head reads their states."""

from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.policies.config import HfVlaConfig, ModelCard
from embodied_cf.policies.hf_base import adapt, find_base, load_base, load_settings, refuse_changed
from embodied_cf.policies.hf_families import family_of
from embodied_cf.policies.vla import Vla

_LONGEST = 128
"""Tokens of an instruction that are read."""


class ActionQueries(nn.Module):
    """Word embeddings, and behind them a learned embedding for each row of a chunk, as if they were words."""

    def __init__(self, words: nn.Embedding, first: int, count: int) -> None:
        super().__init__()
        self.words, self.first = words, first
        with torch.no_grad():  # begin like words, but each one different
            known = words(torch.arange(min(words.num_embeddings, 4096))).float()
            drawn = known.mean(0) + known.std(0) * torch.randn(count, known.shape[1])
        self.queries = nn.Parameter(drawn)

    def forward(self, ids: Int64[Tensor, "b n"]) -> Float[Tensor, "b n e"]:
        """Return the embeddings of words and queries (ids from `first` on)."""
        words = self.words(ids.clamp_max(self.words.num_embeddings - 1))
        queries = self.queries.to(words.dtype)[(ids - self.first).clamp_min(0)]
        return torch.where((ids >= self.first)[..., None], queries, words)


class Prompt:
    """From instructions to token ids: frames and words, then the action queries. Padded on the left."""

    def __init__(self, tokenizer: Any, image: int, around: tuple[str, str], queries: range) -> None:
        self._tokenizer, self._image = tokenizer, image
        self._before, self._after = (self._ids(text) for text in around)
        self._after += list(queries)

    def __deepcopy__(self, memo: dict) -> "Prompt":
        """Return itself: copies of a network share their vocabulary, which is large."""
        return self

    def __call__(self, instruction: tuple[str, ...]) -> tuple[Int64[Tensor, "b n"], Int64[Tensor, "b n"]]:
        """Return ids, and 1 where they are no padding."""
        rows = [[*self._before, *self._said(text), *self._after] for text in instruction]
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        return ids, mask

    def _said(self, text: str) -> list[int]:
        """Return the instruction's ids. One that names the image token shows no image."""
        return [token for token in self._ids(text) if token != self._image][:_LONGEST]

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)


class HfVla(Vla):
    """The network. Trained are adapters, queries and what reads them; the rest is frozen and not saved.

    One query per chunk row, all read in one pass, as in OpenVLA-OFT (arXiv 2502.19645).
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        config, rows = card.model, card.embodiment.chunk_length
        assert isinstance(config, HfVlaConfig)
        folder = find_base(config.base)
        refuse_changed(folder, card.base)
        settings = load_settings(folder)
        self.family = family_of(settings, config.size)
        base = load_base(folder, config)
        adapt(base.model, config)
        self.vlm, self._image = base.model, settings.image_token_id
        words = self.vlm.get_input_embeddings()
        first = max(words.num_embeddings, self._image + 1)
        self.vlm.set_input_embeddings(ActionQueries(words, first, rows))
        around = self.family.prompt(base.tokenizer.convert_ids_to_tokens(self._image), config.history)
        self._prompt = Prompt(base.tokenizer, self._image, around, range(first, first + rows))
        self._add_scale(base.mean, base.std)
        width = settings.get_text_config().hidden_size
        self.read = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.width))
        self.add_outputs(config.width)

    def _add_scale(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    deciding = ("read", "stop", "head")

    def perceive(
        self,
        image: UInt8[Tensor, "b t h w 3"],
        instruction: tuple[str, ...],
        odometry: Float[Tensor, "b t1 3"] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the last states of the action queries (b, k, d)."""
        ids, mask = (part.to(self.device) for part in self._prompt(instruction))
        seen = self.family.inputs(self._pixels(image), (ids == self._image).long())
        states = self.vlm(input_ids=ids, attention_mask=mask, use_cache=False, **seen).last_hidden_state
        return (states[:, -self.card.embodiment.chunk_length :].float(),)

    def tokens(self, *perceived: Tensor) -> Float[Tensor, "b k d"]:
        """Return one token per chunk row."""
        return self.read(perceived[0])

    def _pixels(self, image: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b t 3 s s"]:
        """Return frames as the model wants them: its size, its scale."""
        frames = image.flatten(0, 1).permute(0, 3, 1, 2).float() / 255  # (b, t, h, w, 3) -> (b t, 3, h, w)
        side = self.family.side
        if frames.shape[-1] != side:
            frames = F.interpolate(frames, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        return ((frames - self.mean) / self.std).unflatten(0, image.shape[:2])
