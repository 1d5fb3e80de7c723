"""A policy that runs elsewhere: what `embodied-cf serve` answers, as a `Policy`. Needs numpy and no torch."""

import io
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pydantic

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.errors import UsageError
from embodied_cf.policies.contract import ActionChunk, Observation

ARRAYS = "application/x-npz"


@dataclass(frozen=True)
class RemotePolicy:
    """The policy behind a URL, such as http://127.0.0.1:8765. Raises UsageError where it does not answer or refuses."""

    url: str
    timeout: float = 30.0
    """Seconds that one answer may take."""

    @cached_property
    def _card(self) -> dict[str, Any]:
        return json.loads(self._ask("policy"))

    @property
    def camera(self) -> tuple[int, int]:
        """Height and width of the frames it wants."""
        height, width = self._card["camera"]
        return height, width

    @property
    def history(self) -> int:
        """T, frames it wants."""
        return int(self._card["history"])

    @cached_property
    def embodiment(self) -> Embodiment:
        """The body that its chunks are for."""
        return pydantic.TypeAdapter(Embodiment).validate_python(self._card["embodiment"])

    def act(self, observation: Observation, instruction: tuple[str, ...], rng: np.random.Generator) -> ActionChunk:
        """Return a chunk for each observation; the generator gives the seed that the server draws with."""
        seed = np.array(rng.integers(2**63))
        said = np.array(list(instruction), np.str_)
        answer = unpack(self._ask("act", pack(image=observation.image, instruction=said, seed=seed)))
        return ActionChunk(answer["chunk"], answer["mask"], answer.get("log_probability"))

    def _ask(self, what: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url.rstrip('/')}/{what}", body, {"Content-Type": ARRAYS})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            with error:
                told = error.read().decode(errors="replace")
            raise UsageError(f"the server refuses: {told}", where=self.url) from None
        except OSError as error:
            remedy = "Start it with `embodied-cf serve RUN`."
            raise UsageError(f"no policy server answers ({error})", where=self.url, remedy=remedy) from None


def pack(**arrays: np.ndarray) -> bytes:
    """Return arrays as the bytes of an .npz file; `unpack` is the inverse."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type] # mypy sees an `allow_pickle` in any dict
    return file.getvalue()


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file. Never unpickles. Raises ValueError for anything else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"no arrays: {error}") from error
