from dataclasses import dataclass
from threading import Thread

import numpy as np
import pytest
from test_policy import make_policy

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.errors import UsageError
from embodied_cf.policies.client import RemotePolicy, pack, unpack
from embodied_cf.policies.contract import ActionChunk, Observation, Policy, check_observation
from embodied_cf.policies.server import make_server


@pytest.fixture(params=[False, True])
def served(request):
    policy, batch = make_policy("bins", sample=request.param)
    with make_server(policy, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield policy, batch, RemotePolicy(f"http://127.0.0.1:{server.server_address[1]}/")
        server.shutdown()
        thread.join()


def test_remote_is_local(served):
    policy, batch, remote = served
    assert isinstance(remote, Policy)
    assert (remote.camera, remote.history, remote.embodiment) == (policy.camera, policy.history, policy.embodiment)
    far = remote.act(Observation(batch.image), batch.instruction, np.random.default_rng(3))
    seed = np.random.default_rng(3).integers(2**63)
    near = policy.act(Observation(batch.image), batch.instruction, np.random.default_rng(seed))
    np.testing.assert_array_equal(far.chunk, near.chunk)
    np.testing.assert_array_equal(far.mask, near.mask)
    assert (far.log_probability is None) == (near.log_probability is None) == (not policy.sample)


@dataclass(frozen=True)
class Homing:
    """Goes back to where it was told."""

    camera, history, stride, needs_odometry = (8, 8), 3, 2, True
    embodiment = load_embodiment("nav")

    def act(self, observation, instruction, rng):
        check_observation(self, observation, instruction)
        return ActionChunk(observation.odometry[:, :1, :2], np.ones((len(observation), 1), bool))


def test_odometry_goes_along():
    with make_server(Homing(), "127.0.0.1", 0) as server:
        Thread(target=server.serve_forever).start()
        remote = RemotePolicy(f"http://127.0.0.1:{server.server_address[1]}/")
        image, past = np.zeros((2, 3, 8, 8, 3), np.uint8), np.arange(24, dtype=np.float32).reshape(2, 4, 3)
        assert (remote.stride, remote.needs_odometry) == (2, True)
        done = remote.act(Observation(image, past), ("go", "go"), np.random.default_rng(0))
        np.testing.assert_array_equal(done.chunk[:, 0], past[:, 0, :2])
        for wrong, told in ((None, "no odometry"), (past[:, 1:], r"shape \(2, 3, 3\)"), (past * np.nan, "finite")):
            with pytest.raises(UsageError, match=told):
                remote.act(Observation(image, wrong), ("go", "go"), np.random.default_rng(0))
        server.shutdown()


def test_refusals_are_told(served):
    _, batch, remote = served
    with pytest.raises(UsageError, match=r"the server refuses: frames of shape"):
        remote.act(Observation(batch.image[:, :, :8]), batch.instruction, np.random.default_rng(0))
    wrong = pack(image=np.zeros(3), instruction=np.zeros(3), seed=np.array(1))
    for body in (b"", b"PK", b"no arrays", pack(image=np.zeros(3)), wrong):
        with pytest.raises(UsageError, match="the server refuses"):
            remote._ask("act", body)
    with pytest.raises(UsageError, match="GET /policy or POST /act"):
        remote._ask("nothing")


def test_nobody_answers():
    with pytest.raises(UsageError, match=r"no policy server answers .* Start it with `embodied-cf serve RUN`"):
        RemotePolicy("http://127.0.0.1:9").act(Observation(np.zeros((1, 1, 8, 8, 3), np.uint8)), ("stop",),
                                               np.random.default_rng(0))  # fmt: skip


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://127.0.0.1:abc"])
def test_what_is_no_address_is_told(url):
    with pytest.raises(UsageError, match="no policy server answers"):
        _ = RemotePolicy(url).camera


def test_a_taken_port_is_told(served):
    _, _, remote = served
    port = int(remote.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(UsageError, match=r"cannot listen .* Choose another --port"):
        make_server(served[0], "127.0.0.1", port)
    with pytest.raises(UsageError, match=r"cannot listen .*0-65535"):
        make_server(served[0], "127.0.0.1", 99_999)


def test_pickles_are_never_opened():
    with pytest.raises(ValueError, match="an array of dtype object"):
        unpack(pack(image=np.array([{}], object)))
