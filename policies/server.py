"""A policy over HTTP.

GET /policy     what it wants: {"camera": [h, w], "history": t, "stride": s, "needs_odometry": false,
                "by_parts": false, "embodiment": {...}}
POST /act       an .npz with image (b, t, h, w, 3) uint8, instruction (b) text, seed, and, if it is known, odometry
                (b, t + 1, 3) float32 (`policies.contract.Observation`); answered by an .npz with chunk (b, k, a),
                mask (b, k) and, where the policy draws, log_probability (b)
"""

import json
from dataclasses import asdict
from threading import Lock

import numpy as np

from embodied_cf.errors import EmbodiedError, UsageError
from embodied_cf.policies.client import ARRAYS, pack, unpack
from embodied_cf.policies.contract import Observation, Policy
from embodied_cf.policies.guarded_http import GuardedHandler, GuardedServer

_LONGEST = 4096
"""Characters of an instruction."""
_TOLD = ("stride", "needs_odometry", "by_parts")
"""What a policy need not have."""
_USAGE = b"GET /policy or POST /act"


def make_server(policy: Policy, host: str, port: int) -> GuardedServer:
    """Return a server that answers for a policy once `serve_forever` is called; port 0 takes any that is free.

    Anyone who reaches the port can ask: bind to another host than loopback only on a network that you trust.
    """
    acting = Lock()

    class Answerer(_Answerer):
        def answer(self, body: bytes) -> bytes:
            with acting:
                return _act(policy, unpack(body))

        def card(self) -> bytes:
            wanted = {"camera": policy.camera, "history": policy.history, "embodiment": asdict(policy.embodiment)}
            wanted |= {name: getattr(policy, name) for name in _TOLD if hasattr(policy, name)}
            return json.dumps(wanted).encode()

    try:
        return GuardedServer(host, port, Answerer)
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen ({error})", where=f"{host}:{port}", remedy="Choose another --port.") from None


def _act(policy: Policy, asked: dict[str, np.ndarray]) -> bytes:
    odd = {"image", "instruction", "seed"} ^ (asked.keys() - {"odometry"})
    if odd:
        raise ValueError(f"image, instruction and seed are wanted; {', '.join(sorted(odd))} too much or missing")
    image, said = asked["image"], asked["instruction"]
    if image.ndim != 5 or image.dtype != np.uint8 or image.shape[4] != 3 or said.ndim != 1 or said.dtype.kind != "U":
        raise ValueError("image must be (b, t, h, w, 3) uint8 and instruction (b) text")
    if asked["seed"].ndim or asked["seed"].dtype.kind not in "iu" or asked["seed"] < 0:
        raise ValueError("seed must be a number of at least 0")
    past = asked.get("odometry")
    if past is not None and (past.ndim != 3 or past.dtype != np.float32 or not np.isfinite(past).all()):
        raise ValueError("odometry must be (b, t + 1, 3) finite float32")
    if said.dtype.itemsize > 4 * _LONGEST:
        raise ValueError(f"an instruction of more than {_LONGEST} characters")
    seed = int(asked["seed"])
    done = policy.act(Observation(image, past), tuple(said.tolist()), np.random.default_rng(seed))
    law = {} if done.log_probability is None else {"log_probability": done.log_probability}
    return pack(chunk=done.chunk, mask=done.mask, **law)


class _Answerer(GuardedHandler):
    def answer(self, body: bytes) -> bytes:
        """Return what is done, as arrays."""
        raise NotImplementedError

    def card(self) -> bytes:
        """Return what the policy wants, as JSON."""
        raise NotImplementedError

    def do_GET(self) -> None:  # noqa: N802 (http.server calls it so)
        """Answer GET /policy."""
        if refusal := self.refusal():
            self._refuse(*refusal)
        elif self.path != "/policy" or "Content-Length" in self.headers:
            self._refuse(404, _USAGE.decode())
        else:
            self.answer_with(200, "application/json", self.card())

    def do_POST(self) -> None:  # noqa: N802
        """Answer POST /act."""
        if refusal := self.refusal() or self.body_refusal(ARRAYS):
            self._refuse(*refusal)
        elif self.path != "/act":
            self._refuse(404, _USAGE.decode())
        else:
            self._act(self.body())

    def _act(self, body: bytes) -> None:
        try:
            arrays = self.answer(body)
        except (EmbodiedError, ValueError) as error:
            self._refuse(400, str(error))
        except Exception as error:  # a policy may be anyone's code; its server answers the next request
            self._refuse(500, f"the policy failed ({type(error).__name__})")
        else:
            self.answer_with(200, ARRAYS, arrays)

    def _refuse(self, status: int, text: str) -> None:
        self.answer_with(status, "text/plain; charset=utf-8", text.encode(errors="replace"))
