"""A finished run again, from its answer cache alone: no server, no key, the same labels."""

from dataclasses import replace
from pathlib import Path

from embodied_cf.errors import VlmError
from embodied_cf.vlm.cache import Cache
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.openai_captioner import OpenAICaptioner
from embodied_cf.vlm.options import ClientOptions


def replay_client(options: ClientOptions, cache: Path | Cache) -> VlmClient:
    """Return a client that answers only from `cache`; a question that is not in it is a VlmError naming it.

    Model, sampling and hook must be those of the finished run, since they shaped what was asked. Raises
    VlmError if there is no such file: an empty cache made on the spot could answer nothing.
    """
    if isinstance(cache, Path) and not cache.is_file():
        raise VlmError("no answer cache to replay", where=cache, remedy="Give the cache file of a finished run.")
    return VlmClient(replace(options, cache=cache, offline=True))


def replayed(captioner: OpenAICaptioner, client: VlmClient) -> OpenAICaptioner:
    """Return the captioner with `client` (see `replay_client`) in place of whatever it asked before."""
    return replace(captioner, asker=client)
