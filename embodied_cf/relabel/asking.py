"""The model that a run asks: opened once, shared by all its stages, closed with the run."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.vlm.budget import Prices
from embodied_cf.vlm.cache import Cache
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.forecast import DryRun, Forecast
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Asker, Prompt
from embodied_cf.vlm.replay import replay_client
from embodied_cf.vlm.templates import SHIPPED, load_prompts


@dataclass(frozen=True)
class Asking:
    """Whom a run asks, with what words, and what that cost so far."""

    asker: Asker
    prompts: Mapping[str, Prompt]
    client: VlmClient

    @property
    def usage(self) -> dict[str, object]:
        """Requests, tokens, cost and latency, JSON-able."""
        return self.client.usage.summary()

    @property
    def forecast(self) -> Forecast | None:
        """What a dry run counted."""
        return self.asker.forecast if isinstance(self.asker, DryRun) else None


@asynccontextmanager
async def asking(options: RelabelOptions, shared: Cache | None = None) -> AsyncIterator[Asking | None]:
    """Open the model that the options name; None for captioners that ask nobody.

    `shared` holds the answers in place of the file that the options name.
    """
    if not options.asks_model:
        yield None
        return
    prompts = load_prompts(options.prompts or SHIPPED)
    settings = client_options(options)
    if shared is not None:
        settings = replace(settings, cache=shared)
    cache = settings.cache
    assert cache is not None
    client = replay_client(settings, cache) if options.captioner == "replay" else VlmClient(settings)
    async with client:
        yield Asking(DryRun(client) if options.dry_run else client, prompts, client)


def client_options(options: RelabelOptions) -> ClientOptions:
    """Return how to ask, from the run's options."""
    vlm = options.vlm
    return ClientOptions(
        model=vlm.model,
        base_url=vlm.base_url,
        api_key_env=vlm.api_key_env,
        send_images=vlm.send_images,
        before_send=vlm.before_send or None,
        cache=vlm.cache or default_cache(options.out),
        concurrency=vlm.concurrency,
        timeout_s=vlm.timeout,
        max_requests=vlm.max_requests,
        max_cost_usd=vlm.max_cost,
        prices=Prices(vlm.price_in, vlm.price_out),
    )


def default_cache(out: Path) -> Path:
    """Return the file of answered questions beside `out`, so that deleting the output does not lose them."""
    return out.with_name(f"{out.name}.vlm-cache.sqlite")
