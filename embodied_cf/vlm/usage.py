"""What asking has cost so far."""

from array import array
from collections import Counter
from dataclasses import dataclass, field, fields

import numpy as np

from embodied_cf.vlm.budget import Prices


@dataclass
class Usage:
    """Counts of one client; `summary()` is what reports store."""

    prices: Prices = field(default_factory=Prices)
    questions: int = 0
    requests: int = 0
    """HTTP requests sent, retries and repairs included."""
    cached: int = 0
    """Questions answered from the cache, free of charge."""
    shared: int = 0
    """Questions that waited for the same question of another asker."""
    retries: int = 0
    repaired: int = 0
    """Questions whose first answer was invalid and whose second one was not."""
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    """Failed requests by kind: timeout, connection, status 429, ..."""
    invalid: Counter[str] = field(default_factory=Counter)
    """Unusable answers by kind: off_list, schema, not_json, truncated, refused, empty."""
    latencies_s: array = field(default_factory=lambda: array("d"), repr=False)
    """Seconds from sending to the whole answer, of requests that were answered."""

    def add(self, other: "Usage") -> None:
        """Count what another client did, too."""
        for each in fields(self):
            if each.name != "prices":
                setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def summary(self) -> dict[str, object]:
        """Return everything as JSON-able data; costs are null while prices are unknown."""
        counts = ("questions", "requests", "cached", "shared", "retries", "repaired", "failed")
        return {
            **{name: getattr(self, name) for name in counts},
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": self.cost_usd if self.prices.known else None,
            "faults": dict(sorted(self.faults.items())),
            "invalid": dict(sorted(self.invalid.items())),
            "latency_p50_s": self._latency(50),
            "latency_p95_s": self._latency(95),
        }

    def _latency(self, percentile: float) -> float | None:
        return float(np.percentile(self.latencies_s, percentile)) if self.latencies_s else None
