"""Random generators that depend on what they are for and on nothing else, least of all on the order of work."""

import hashlib

import numpy as np


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """Return the generator of (seed, purpose), such as an episode id and a stage's name."""
    return np.random.Generator(np.random.PCG64(number(seed, *purpose)))


def number(seed: int, *purpose: str) -> int:
    """Return 128 bits that depend on seed and purpose."""
    text = "\x1f".join((str(seed), *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
