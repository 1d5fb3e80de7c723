"""Readers of instructions: from distinct sentences to vectors. "" is no instruction, and has a vector of its own."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from embodied_cf.errors import InstructionError
from embodied_cf.language import arm, nav
from embodied_cf.policies.frozen_text import MINILM_WIDTH, frozen_sentences

_WORD = re.compile(r"[a-z0-9]+|[,;]")
LONGEST = 32
"""Words of an instruction that are read."""


class Said(NamedTuple):
    """B instructions as they are read."""

    vector: Float[Tensor, "b c"]
    """Each as a whole."""
    word: Float[Tensor, "b w e"]
    """Its words one by one, whatever stands beside them; where an encoder knows no words, it is one word."""
    state: Float[Tensor, "b w c"]
    """Each word as one of this instruction."""
    there: Bool[Tensor, "b w"]
    """Which of them are words, and no filling; "" has none."""

    def take(self, rows: Int64[Tensor, " n"]) -> "Said":
        """Return some of the instructions."""
        return Said(*(part[rows] for part in self))


class TextEncoder(nn.Module):
    """Reads a batch of instructions; each distinct one is read once.

    A subclass reads instructions that are not empty.
    """

    def __init__(self, width: int, word_width: int) -> None:
        super().__init__()
        self.nothing = nn.Parameter(0.1 * torch.randn(width))
        self.word_width = word_width

    def forward(self, instruction: tuple[str, ...]) -> Said:
        """Return what the instructions say."""
        said = sorted({text for text in instruction if text})
        nobody = whole(self.nothing.new_zeros(0, len(self.nothing)), self.nothing.new_zeros(0, self.word_width))
        read = self.read(said) if said else nobody
        blank = (self.nothing, *(part.new_zeros(part.shape[1:]) for part in read[1:]))
        both = Said(*(torch.cat([first[None], rest]) for first, rest in zip(blank, read, strict=True)))
        place = {text: row for row, text in enumerate(["", *said])}
        return both.take(torch.tensor([place[text] for text in instruction]))

    def read(self, said: Sequence[str]) -> Said:
        """Return what instructions say that are not empty."""
        raise NotImplementedError

    def meanings(self, classes: Sequence[Sequence[str]]) -> Float[Tensor, "n e"] | None:
        """Return for each class the mean direction of words that name it, where words have a meaning before training
        begins; else None."""
        del classes
        return None

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

    def forward(
        self, words: Float[Tensor, "w c"], sentences: Sequence[Sequence[int]], meaning: Float[Tensor, "w e"]
    ) -> Said:
        """Return what sentences say, each of which is one or more rows of `words`, and of what they mean alone."""
        length = torch.tensor([len(sentence) for sentence in sentences])
        rows = torch.full((len(sentences), int(length.max())), len(words))
        there = torch.arange(rows.shape[1]) < length[:, None]
        rows[there] = torch.tensor([row for one in sentences for row in one])
        rows = rows.to(words.device)
        padded, alone = (nn.functional.embedding(rows, torch.cat([table, 0 * table[:1]])) for table in (words, meaning))
        states, _ = self.gru(padded)
        vector = padded.sum(1) + states[torch.arange(len(rows)), length - 1]
        return Said(vector, alone, padded + states, there.to(words.device))


class WordEncoder(TextEncoder):
    """Learned words. A word that training never showed is a zero vector."""

    def __init__(self, vocabulary: Sequence[str], width: int) -> None:
        super().__init__(width, width)
        self._index = {word: row for row, word in enumerate(vocabulary, start=1)}
        self.words = nn.Embedding(len(vocabulary) + 1, width, padding_idx=0)
        self.order = Order(width)

    def read(self, said: Sequence[str]) -> Said:
        """Return what the sentences say, word by word."""
        rows = [[self._index.get(word, 0) for word in split_words(text)] or [0] for text in said]
        distinct = sorted({row for sentence in rows for row in sentence})
        place = {row: at for at, row in enumerate(distinct)}
        words = self.words(torch.tensor(distinct, device=self.nothing.device))
        return self.order(words, [[place[row] for row in sentence] for sentence in rows], words)


class MiniLmWordEncoder(TextEncoder):
    """Frozen MiniLM vectors of single words, a learned projection, and their order.

    A word that training never showed ("crimson") still has a vector near one that it did ("red"), and each word is
    read once: far cheaper than whole sentences where there are many.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, MINILM_WIDTH)
        self.project = nn.Sequential(nn.Linear(MINILM_WIDTH, width), nn.ReLU(), nn.Linear(width, width))
        self.order = Order(width)
        self._frozen = frozen_sentences()

    def read(self, said: Sequence[str]) -> Said:
        """Return what the sentences say, word by word."""
        sentences = [split_words(text) or [","] for text in said]
        distinct = sorted({word for sentence in sentences for word in sentence})
        known = torch.stack([self._frozen.embedding(word) for word in distinct]).to(self.nothing)
        place = {word: row for row, word in enumerate(distinct)}
        return self.order(self.project(known), [[place[word] for word in sentence] for sentence in sentences], known)

    def meanings(self, classes: Sequence[Sequence[str]]) -> Float[Tensor, "n e"]:
        """Return the mean direction of each class's words."""
        return self._frozen.meanings(classes)


class CommandEncoder(TextEncoder):
    """One vector per atomic command of the embodiment, whatever phrase names it: makes the policy the atomic policy."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__(width, width)
        self._vocabulary = nav.VOCABULARY if kind == "nav" else arm.VOCABULARY
        self.commands = nn.Embedding(len(self._vocabulary.names), width)

    def read(self, said: Sequence[str]) -> Said:
        """Return the commands. Raises InstructionError for what names none."""
        rows = []
        for text in said:
            name = self._command(text)
            if name is None:
                known = ", ".join(self._vocabulary.names)
                raise InstructionError(f"{text!r} names no atomic command", remedy=f"Say one of {known}.")
            rows.append(self._vocabulary.index[name])
        vector = self.commands(torch.tensor(rows, device=self.nothing.device))
        return whole(vector, vector)

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
        super().__init__(width, MINILM_WIDTH)
        self.project = nn.Sequential(nn.Linear(MINILM_WIDTH, width), nn.ReLU(), nn.Linear(width, width))
        self._frozen = frozen_sentences()

    def read(self, said: Sequence[str]) -> Said:
        """Return the projected embeddings."""
        known = torch.stack([self._frozen.embedding(text) for text in said]).to(self.nothing)
        return whole(self.project(known), known)


def whole(vector: Float[Tensor, "s c"], meaning: Float[Tensor, "s e"]) -> Said:
    """Return instructions of which each is one word."""
    there = torch.ones(len(vector), 1, dtype=torch.bool, device=vector.device)
    return Said(vector, meaning[:, None], vector[:, None], there)


def split_words(text: str) -> list[str]:
    """Return lower-case words, numbers and pauses, at most 32.

    >>> split_words("Turn left, then go to the red box.")
    ['turn', 'left', ',', 'then', 'go', 'to', 'the', 'red', 'box']
    """
    return _WORD.findall(text.lower())[:LONGEST]


def vocabulary_of(instructions: Iterable[str]) -> tuple[str, ...]:
    """Return the words of instructions in alphabetical order."""
    return tuple(sorted({word for text in instructions for word in split_words(text)}))
