"""A policy that runs elsewhere: what `embodied-cf serve` answers, as a `Policy`. Needs numpy and no torch."""

import http.client
import io
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pydantic

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.errors import SpecError, UsageError
from embodied_cf.policies.contract import ActionChunk, Observation

ARRAYS = "application/x-npz"
_MOST_ARRAYS = 8
_LARGEST = 1 << 28
"""Bytes of an answer."""
_SHOWN = 2000
"""Bytes of a refusal."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        """Follow none: whoever is elsewhere is not to see the frames."""


# nor is a proxy of the environment
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


@dataclass(frozen=True)
class _Card:
    """What GET /policy answers."""

    camera: tuple[int, int]
    history: int
    embodiment: Embodiment
    stride: int = 1
    needs_odometry: bool = False
    by_parts: bool = False


@dataclass(frozen=True)
class RemotePolicy:
    """The policy behind a URL, such as http://127.0.0.1:8765. Raises UsageError where it does not answer or refuses."""

    url: str
    timeout: float = 30.0
    """Seconds that one answer may take."""

    @cached_property
    def _card(self) -> _Card:
        try:
            return pydantic.TypeAdapter(_Card).validate_json(self._ask("policy"))
        except (pydantic.ValidationError, SpecError) as error:
            raise UsageError(f"what answers is no policy server ({error})", where=self.url) from None

    @property
    def camera(self) -> tuple[int, int]:
        """Height and width of the frames it wants."""
        return self._card.camera

    @property
    def history(self) -> int:
        """T, frames it wants."""
        return self._card.history

    @property
    def stride(self) -> int:
        """It looks at every so manieth of them."""
        return self._card.stride

    @property
    def needs_odometry(self) -> bool:
        """Whether it must be told where the robot was."""
        return self._card.needs_odometry

    @property
    def by_parts(self) -> bool:
        """Whether it wants to be told chains part by part."""
        return self._card.by_parts

    @property
    def embodiment(self) -> Embodiment:
        """The body that its chunks are for."""
        return self._card.embodiment

    def act(self, observation: Observation, instruction: tuple[str, ...], rng: np.random.Generator) -> ActionChunk:
        """Return a chunk for each observation; the generator gives the seed that the server draws with."""
        seed = np.array(rng.integers(2**63))
        said = np.array(list(instruction), np.str_)
        past = {} if observation.odometry is None else {"odometry": observation.odometry}
        content = self._ask("act", pack(image=observation.image, instruction=said, seed=seed, **past))
        try:
            return _checked(unpack(content), len(observation))
        except (ValueError, KeyError) as error:
            raise UsageError(f"the server's answer is no action chunk ({error})", where=self.url) from None

    def _ask(self, what: str, body: bytes | None = None) -> bytes:
        try:
            request = urllib.request.Request(f"{self.url.rstrip('/')}/{what}", body, {"Content-Type": ARRAYS})
            with _OPENER.open(request, timeout=self.timeout) as answer:
                return _read(answer, time.monotonic() + self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                told = error.read(_SHOWN).decode(errors="replace")
            raise UsageError(f"the server refuses: {told}", where=self.url) from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # the last: what is no address
            remedy = "Start it with `embodied-cf serve RUN`."
            raise UsageError(f"no policy server answers ({error})", where=self.url, remedy=remedy) from None


def pack(**arrays: np.ndarray) -> bytes:
    """Return arrays as the bytes of an .npz file; `unpack` is the inverse."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type] # mypy sees an `allow_pickle` in any dict
    return file.getvalue()


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file as `pack` makes it: few, uncompressed, numbers or text.

    Never unpickles, allots no more than the file holds. Raises ValueError for anything else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = file.infolist()
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
            if packed or len(members) > _MOST_ARRAYS or sum(member.file_size for member in members) > len(content):
                raise ValueError(f"more than {_MOST_ARRAYS} arrays, or compressed or overlapping ones")
            return {member.filename.removesuffix(".npy"): _array(file.read(member)) for member in members}
    except Exception as error:  # a forged archive makes zipfile and numpy raise anything
        raise ValueError(f"no arrays: {error}") from error


def _checked(answer: dict[str, np.ndarray], count: int) -> ActionChunk:
    chunk, mask, law = answer["chunk"], answer["mask"], answer.get("log_probability")
    if chunk.ndim != 3 or len(chunk) != count or chunk.dtype != np.float32 or not np.isfinite(chunk).all():
        raise ValueError(f"chunk is {chunk.dtype} of shape {chunk.shape}, not finite float32 of shape ({count}, k, a)")
    if mask.shape != chunk.shape[:2] or mask.dtype != np.bool_:
        raise ValueError(f"mask is {mask.dtype} of shape {mask.shape}, not bool of shape {chunk.shape[:2]}")
    if law is not None and (law.shape != (count,) or law.dtype != np.float32):
        raise ValueError(f"log_probability is {law.dtype} of shape {law.shape}, not float32 of shape ({count},)")
    return ActionChunk(chunk, mask, law)


def _array(raw: bytes) -> np.ndarray:
    file = io.BytesIO(raw)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not an array of format 1.0")
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "biufU" or any(side < 0 for side in shape):
        raise ValueError(f"an array of dtype {dtype} and shape {shape}")
    flat = np.frombuffer(raw, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if columns_first else "C").copy()


def _read(answer: Any, deadline: float) -> bytes:
    """Return a whole body. Raises OSError if it is too large, or too slow however steadily it drips."""
    content = bytearray()
    while chunk := answer.read1(1 << 16):
        content += chunk
        if len(content) > _LARGEST:
            raise OSError(f"an answer of more than {_LARGEST} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")
    return bytes(content)
