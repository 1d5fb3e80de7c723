"""One file of answers for all tasks on Ray: SQLite's log serves one machine only, so an actor there holds it.

Tasks send keys and get answers; no picture and no question passes through.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from embodied_cf.vlm.cache import SqliteCache
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Answer


@dataclass(frozen=True)
class SharedCache:
    """The cache as a task sees it (`vlm.cache.Cache`). Raises OutputError if the file cannot be used."""

    keeper: Any

    def get(self, key: str) -> Answer | None:
        """Return the stored answer, or None."""
        found: Answer | None = _result(self.keeper.get.remote(key))
        return found

    def put(self, key: str, prompt: str, model: str, answer: Answer) -> None:
        """Store an answer, and return once it is on disk; the first one stays if another task was faster."""
        _result(self.keeper.put.remote(key, prompt, model, answer))

    def close(self) -> None:
        """Do nothing: others go on asking."""


def shared_cache(options: ClientOptions) -> SharedCache:
    """Start the keeper of the options' file on this node; it ends with the last one who knows it."""
    assert isinstance(options.cache, Path)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    keeper: Any = ray.remote(num_cpus=0)(SqliteCache)
    return SharedCache(keeper.options(scheduling_strategy=here).remote(options.cache.absolute()))


def _result(reply: Any) -> Any:
    try:
        return ray.get(reply)
    except RayTaskError as error:
        raise error.cause from error
