"""How to ask: server, model, limits, privacy."""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from embodied_cf.errors import UsageError
from embodied_cf.vlm.access import check_url
from embodied_cf.vlm.budget import Prices
from embodied_cf.vlm.cache import Cache
from embodied_cf.vlm.question import Json
from embodied_cf.vlm.retry import FIRST_DELAY_S

LOCAL = "local-hf:"
"""What the names of models that answer within this process begin with (`local_model`)."""
Hook = Callable[[bytes], bytes]
"""An encoded image to an encoded image (PNG or JPEG): blur, crop."""


@dataclass(frozen=True)
class ClientOptions:
    """Where, whom and how to ask. Equal `model` and sampling share cached answers; nothing else matters."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key."""
    send_images: bool = False
    """Images may leave this machine."""
    before_send: str | Hook | None = None
    """Applied to each image before hashing and sending, in a thread: a callable or `package.module:function`.
    It must keep the image's size where boxes are wanted."""
    cache: Path | Cache | None = None
    """A SQLite file of this client's own, or what several share."""
    offline: bool = False
    """Answer from the cache only."""
    concurrency: int = 32
    """Requests under way at once."""
    timeout_s: float = 120.0
    """Seconds for one request, from connecting to the last byte."""
    max_attempts: int = 6
    """Requests per question and round that may fail before the question does."""
    max_rounds: int = 3
    """Times that a question whose answer could not be repaired is asked anew."""
    first_delay_s: float = FIRST_DELAY_S
    """Seconds: upper end of the first backoff; doubles with each attempt."""
    max_body_bytes: int = 4 << 20
    max_requests: int | None = None
    """Retries and repairs count, cached answers do not."""
    max_cost_usd: float | None = None
    prices: Prices = field(default_factory=Prices)
    temperature: float | None = 0.0
    """None leaves it to the server; some models take no other."""
    seed: int | None = 0
    max_output_tokens: int = 1024
    output_limit_key: str = "max_tokens"
    """OpenAI's reasoning models call it `max_completion_tokens`."""
    extra_body: Json = field(default_factory=dict)
    """Further fields of the request, such as `top_p`; part of the cache key."""

    def __post_init__(self) -> None:
        check_url(self.base_url)
        for problem, broken in self._problems().items():
            if broken:
                raise UsageError(problem)

    def _problems(self) -> dict[str, bool]:
        counts = (self.concurrency, self.max_attempts, self.max_rounds, self.max_output_tokens, self.max_body_bytes)
        unpriced = self.max_cost_usd is not None and not self.prices.known
        return {
            "concurrency, max_attempts, max_rounds, max_output_tokens and max_body_bytes must be at least 1": min(
                counts
            )
            < 1,
            "timeout_s must be positive": self.timeout_s <= 0,
            "max_cost_usd needs prices (USD per million input and output tokens)": unpriced,
            # nothing compares as more than nan: it would be no limit at all
            f"max_cost_usd={self.max_cost_usd} is no amount of money": not 0 <= (self.max_cost_usd or 0) < math.inf,
            "offline needs a cache": self.offline and self.cache is None,
        }

    @property
    def is_local(self) -> bool:
        """Whether the model answers within this process; nothing leaves it then."""
        return self.model.startswith(LOCAL)

    @property
    def sampling(self) -> Json:
        """The fields of a request, beside model and messages, on which the answer depends."""
        named = {"temperature": self.temperature, "seed": self.seed}
        given = {key: value for key, value in named.items() if value is not None}
        return {**given, self.output_limit_key: self.max_output_tokens, **self.extra_body}

    @property
    def hook_name(self) -> str | None:
        """`package.module:function` of the hook, for provenance."""
        hook = self.before_send
        if hook is None or isinstance(hook, str):
            return hook
        return f"{hook.__module__}:{getattr(hook, '__qualname__', type(hook).__qualname__)}"


def load_hook(hook: str | Hook | None) -> Hook | None:
    """Return the hook that `package.module:function` names. Raises UsageError if there is none."""
    if hook is None or callable(hook):
        return hook
    module, _, name = hook.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"no such function: {hook} ({error})", where="--before-send") from error
    if not callable(found):
        raise UsageError(f"{hook} is not a function", where="--before-send")
    return cast(Hook, found)
