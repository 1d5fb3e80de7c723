"""The model that a run asks: opened once, shared by all its stages, closed with the run."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from embodied_cf.datasets.files import beside, exclusive
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.vlm.budget import Prices
from embodied_cf.vlm.cache import Cache
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.forecast import DryRun, Forecast
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Asker, Prompt
from embodied_cf.vlm.replay import replay_client
from embodied_cf.vlm.templates import SHIPPED, load_prompts

if TYPE_CHECKING:
    from embodied_cf.vlm.batch import BatchAsker


@dataclass(frozen=True)
class Asking:
    """Whom a run asks, with what words, and what that cost so far."""

    asker: Asker
    prompts: Mapping[str, Prompt]
    client: VlmClient
    batch: "BatchAsker | None" = None
    """The asker, if it asks in batches."""

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
    client = replay_client(settings, cache) if options.captioner == "replay" else _client(options, settings)
    async with client:
        if options.dry_run:
            yield Asking(DryRun(client), prompts, client)
        elif options.vlm.batch:
            assert isinstance(cache, Path), "batches are for one process"
            async with _batches(client, cache) as batch:
                yield Asking(batch, prompts, client, batch)
        else:
            yield Asking(client, prompts, client)


@asynccontextmanager
async def _batches(client: VlmClient, cache: Path) -> "AsyncIterator[BatchAsker]":
    """Open the list of batches beside the cache, which one run at a time may use."""
    from embodied_cf.vlm.batch import BatchAsker
    from embodied_cf.vlm.batch_api import BatchApi
    from embodied_cf.vlm.batch_store import BatchStore

    path = cache.with_suffix(".batches.sqlite")
    with exclusive(path.with_suffix(".lock")), closing(BatchStore(path)) as store:
        api = BatchApi(client.options)
        try:
            yield BatchAsker(client, store, api, partial(print, file=sys.stderr, flush=True))
        finally:
            await api.close()


def _client(options: RelabelOptions, settings: ClientOptions) -> VlmClient:
    if options.captioner != "hf":
        return VlmClient(settings)
    from embodied_cf.policies.hf_base import find_base
    from embodied_cf.vlm.local_model import LocalModel

    vlm = options.vlm
    return VlmClient(settings, LocalModel.of(find_base(vlm.model, "--model"), vlm.weights, vlm.device, vlm.batch_size))


def client_options(options: RelabelOptions) -> ClientOptions:
    """Return how to ask, from the run's options."""
    vlm = options.vlm
    settings = ClientOptions(
        model=_model(options),
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
        max_output_tokens=vlm.max_new_tokens,
    )
    return _as_local(settings, options) if settings.is_local else settings


def _as_local(settings: ClientOptions, options: RelabelOptions) -> ClientOptions:
    """Return how to ask a model in this process: free of charge, and once, since greedy answers stay the same."""
    return replace(
        settings,
        concurrency=max(options.vlm.concurrency, options.vlm.batch_size),
        max_rounds=1,
        max_cost_usd=None,
        prices=Prices(),
        seed=None,
        extra_body={"weights": options.vlm.weights},
    )


def _model(options: RelabelOptions) -> str:
    """Return what cache and provenance call the model; a directory is named for what it holds."""
    model = options.vlm.model
    in_directory = (Path(model).expanduser() / "config.json").is_file()
    if options.captioner != "hf" and not (options.captioner == "replay" and in_directory):
        return model
    from embodied_cf.policies.hf_base import find_base
    from embodied_cf.vlm.local_model import label_of

    return label_of(find_base(model, "--model"))


def default_cache(out: Path) -> Path:
    """Return the file of answered questions beside `out`, so that deleting the output does not lose them."""
    return beside(out, "{}.vlm-cache.sqlite")
