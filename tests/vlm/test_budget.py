import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vlm_helpers import colour_question

from embodied_cf.errors import BudgetError, UsageError
from embodied_cf.vlm.budget import Budget, Prices, image_tokens, most_input_tokens, text_tokens
from embodied_cf.vlm.client import VlmClient, ask_all
from embodied_cf.vlm.question import Picture


def picture(width: int, height: int) -> Picture:
    return Picture(b"", "image/png", width, height)


def test_estimates_by_hand() -> None:
    assert text_tokens("move on") == 2  # 7 characters
    assert image_tokens(picture(96, 96)) == 255  # one tile
    assert image_tokens(picture(1024, 1024)) == 1369  # 37 x 37 patches
    assert most_input_tokens("ö" * 10, [picture(96, 96)]) == 275
    assert Prices(2.0, 8.0).cost(1_000_000, 500_000) == 6.0
    with pytest.raises(UsageError, match="without one for output"):
        Prices(input_usd=1.0)
    for price in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="no amount of money"):
            Prices(price, 1.0)


@given(st.lists(st.tuples(st.floats(0, 0.3), st.floats(0, 1)), max_size=30), st.integers(1, 8))
def test_money_never_exceeds_the_limit(requests: list[tuple[float, float]], concurrency: int) -> None:
    """Worst cases and the share of them really spent, any number at once."""
    budget = Budget(max_cost_usd=1.0)
    slots = asyncio.Semaphore(concurrency)

    async def request(worst: float, share: float) -> None:
        async with slots:
            await budget.reserve(worst)
            await asyncio.sleep(0)
            budget.settle(worst, worst * share)
            assert budget.spent_usd <= 1.0

    async def run() -> list:
        return await asyncio.gather(*(request(*r) for r in requests), return_exceptions=True)

    outcomes = asyncio.run(run())
    assert all(outcome is None or isinstance(outcome, BudgetError) for outcome in outcomes)
    if sum(worst for worst, _ in requests) <= 0.999:
        assert outcomes == [None] * len(requests)


def test_reservation_waits_rather_than_gives_up() -> None:
    async def run() -> None:
        budget = Budget(max_cost_usd=1.0)
        await budget.reserve(0.6)
        second = asyncio.create_task(budget.reserve(0.6))
        await asyncio.sleep(0.01)
        assert not second.done()
        budget.settle(0.6, 0.1)
        await second
        budget.settle(0.6, 0.5)
        with pytest.raises(BudgetError, match=r"max_cost_usd=1, 0.600000 spent"):
            await budget.reserve(0.6)

    asyncio.run(run())


@pytest.mark.parametrize("faults", ["", "500,500,cut"])
def test_requests_stop_at_the_limit(start_server, tmp_path, faults: str) -> None:
    server = start_server("--faults", faults, "--latency", "0", "0.02")
    questions = [colour_question("red", case) for case in range(30)]
    options = server.options(max_requests=10, concurrency=8, cache=tmp_path / "c.sqlite")

    async def run(**changes) -> VlmClient:
        async with VlmClient(server.options(cache=tmp_path / "c.sqlite", **changes)) as client:
            await ask_all(client, questions)
        return client

    with pytest.raises(BudgetError, match=r"max_requests=10.*run again with a larger budget"):
        asyncio.run(run(max_requests=options.max_requests, concurrency=options.concurrency))
    assert len(server.requests()) == 10, "retries and repairs count"
    paid = sum(line["fault"] == "ok" for line in server.requests())
    client = asyncio.run(run(max_requests=30 - paid))
    assert client.usage.cached == paid, "what was paid for is not asked again"
    assert server.asked_twice() == []


def test_cost_stops_before_the_limit(start_server) -> None:
    server = start_server()
    prices = Prices(1.0, 10.0)  # an answer costs (100·1 + 10·10) / 1e6 = 0.0002 USD
    questions = [colour_question("red", case) for case in range(60)]

    async def run() -> VlmClient:
        options = server.options(max_cost_usd=0.005, prices=prices, max_output_tokens=50, concurrency=8)
        async with VlmClient(options) as client:
            with pytest.raises(BudgetError, match=r"max_cost_usd=0.005"):
                await ask_all(client, questions)
        return client

    usage = asyncio.run(run()).usage
    assert usage.cost_usd <= 0.005
    # worst case of one request: about (560 bytes + 255 image + 50·10 output) / 1e6 = 0.0013
    assert usage.cost_usd > 0.0035, "stops late enough to use most of the budget"
    assert usage.summary()["cost_usd"] == pytest.approx(0.0002 * len(server.requests()))


def test_timed_out_request_is_booked_at_its_worst(start_server) -> None:
    server = start_server("--faults", "hang")
    options = server.options(timeout_s=0.2, max_cost_usd=1.0, prices=Prices(1.0, 10.0), max_output_tokens=50)

    async def run() -> float:
        async with VlmClient(options) as client:
            await client.ask(colour_question("red"))
            return client.usage.cost_usd

    assert asyncio.run(run()) > 0.0002 + 0.0005, "50 output tokens that may have been made"
