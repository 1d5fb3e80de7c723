"""What a run may cost: requests counted exactly, money reserved before it is spent."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from embodied_cf.errors import BudgetError, UsageError
from embodied_cf.vlm.question import Picture

CHARACTERS_PER_TOKEN = 4
PATCH = 28
"""Pixels: side of the square that Qwen2-VL and its kin turn into one token."""
TILE, TILE_TOKENS, IMAGE_TOKENS = 512, 170, 85
"""Pixels and tokens: the tile rule that OpenAI publishes for its GPT-4o family."""


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text: one per four characters, rounded up, which suits English and JSON."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def image_tokens(picture: Picture) -> int:
    """Estimate the tokens of an image: the dearer of two published rules.

    A 96×96 frame is max(4·4 patches, 85 + 170·1 tile) = 255; a 1024×1024 one max(37·37, 85 + 170·4) = 1369.
    """
    patches = math.ceil(picture.width / PATCH) * math.ceil(picture.height / PATCH)
    tiles = math.ceil(picture.width / TILE) * math.ceil(picture.height / TILE)
    return max(patches, IMAGE_TOKENS + TILE_TOKENS * tiles)


def input_tokens(text: str, pictures: Sequence[Picture]) -> int:
    """Estimate the input tokens of a request."""
    return text_tokens(text) + sum(map(image_tokens, pictures))


def most_input_tokens(text: str, pictures: Sequence[Picture]) -> int:
    """Bound the input tokens: a token is at least one byte; images as estimated."""
    return len(text.encode()) + sum(map(image_tokens, pictures))


@dataclass(frozen=True)
class Prices:
    """US dollars per million tokens."""

    input_usd: float | None = None
    output_usd: float | None = None

    def __post_init__(self) -> None:
        if (self.input_usd is None) != (self.output_usd is None):
            raise UsageError("a price for input without one for output, or the reverse", remedy="Give both.")
        if not all(0 <= (price or 0) < math.inf for price in (self.input_usd, self.output_usd)):
            raise UsageError(f"prices of {self.input_usd} and {self.output_usd}: one is no amount of money")

    @property
    def known(self) -> bool:
        """Whether prices were given."""
        return self.input_usd is not None

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Return US dollars; 0 while prices are unknown."""
        return (input_tokens * (self.input_usd or 0) + output_tokens * (self.output_usd or 0)) / 1e6


class Budget:
    """Lets a request pass only if its worst case still fits.

    With 0.90 of 1.00 USD spent and a worst case of 0.08, one request passes and a second waits until the
    first has settled: if that cost 0.01, the second passes too (0.91 + 0.08); if it cost 0.05, BudgetError.
    """

    def __init__(self, max_requests: int | None = None, max_cost_usd: float | None = None) -> None:
        self.max_requests, self.max_cost_usd = max_requests, max_cost_usd
        self.requests, self.spent_usd = 0, 0.0
        self._reserved_usd, self._open = 0.0, 0
        self._settled = asyncio.Event()

    async def reserve(self, worst_usd: float) -> None:
        """Count one request of at most `worst_usd`. Raises BudgetError if it cannot fit any more."""
        if self.max_cost_usd is not None:
            while self.spent_usd + self._reserved_usd + worst_usd > self.max_cost_usd:
                if self.spent_usd + worst_usd > self.max_cost_usd:
                    raise self._spent(f"max_cost_usd={self.max_cost_usd:g}, {self.spent_usd:.6f} spent")
                await self._settled.wait()
        if self.max_requests is not None and self.requests >= self.max_requests:
            raise self._spent(f"max_requests={self.max_requests}")
        self.requests += 1
        self._open += 1
        self._reserved_usd += worst_usd

    def settle(self, worst_usd: float, actual_usd: float) -> None:
        """Replace what was reserved by what the request did cost."""
        self._open -= 1
        self.spent_usd += actual_usd
        # from zero again whenever nothing is open: sums of floats drift
        self._reserved_usd = self._reserved_usd - worst_usd if self._open else 0.0
        self._settled.set()
        self._settled = asyncio.Event()

    @staticmethod
    def _spent(limit: str) -> BudgetError:
        return BudgetError(
            f"the budget is spent ({limit})",
            remedy="Answers so far are cached: run again with a larger budget to go on.",
        )
