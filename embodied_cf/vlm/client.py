"""The one door to vision-language models: any server that speaks OpenAI's chat completions.

    async with VlmClient(ClientOptions(model="qwen", base_url="http://127.0.0.1:8000/v1")) as client:
        answer = await client.ask(Question(prompt, {"command": "turn left"}, images=(jpeg,)))

Cache, budget, retries, repair and privacy all stand in the one path of `ask`.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from embodied_cf.errors import VlmError
from embodied_cf.vlm import wire
from embodied_cf.vlm.access import AccessError, check_images_allowed, read_key
from embodied_cf.vlm.budget import Budget, input_tokens, most_input_tokens
from embodied_cf.vlm.cache import Cache, NoCache, SqliteCache
from embodied_cf.vlm.options import ClientOptions, load_hook
from embodied_cf.vlm.question import Answer, Asker, Json, Picture, Question, Sheet, lay_out
from embodied_cf.vlm.retry import Failure, delay_s, is_worth_waiting
from embodied_cf.vlm.usage import Usage

_CLOSED_TO_US = (401, 402, 404, 405)
"""Statuses that every further question would meet too."""


@runtime_checkable
class Server(Protocol):
    """Whoever answers chat completions: a connection (`transport`), or a model within this process (`local_model`)."""

    async def post(self, body: Json) -> bytes | Failure:
        """Return the body of a response, or what went wrong."""
        ...

    async def close(self) -> None:
        """Answer nobody any more."""
        ...


class VlmClient:
    """Asks questions, each at most once. Use it as an async context manager, in one event loop.

    `local` answers in place of the server that the options name, within this process.
    """

    def __init__(self, options: ClientOptions, local: Server | None = None) -> None:
        self.options = options
        self.usage = Usage(options.prices)
        self._sampling = options.sampling
        self._hook = load_hook(options.before_send)
        cache = options.cache
        self._cache: Cache = SqliteCache(cache) if isinstance(cache, Path) else cache or NoCache()
        self._budget = Budget(options.max_requests, options.max_cost_usd)
        self._slots = asyncio.Semaphore(options.concurrency)
        # whoever asks a million questions at once must not have them all rendered before the first is sent
        self._door = asyncio.Semaphore(2 * options.concurrency)
        self._transport = self._local = local
        self._pending: dict[str, asyncio.Task[Answer]] = {}
        self._chance = random.Random()  # for backoff only: no answer depends on it
        # whether the server takes response_format; None: not known yet
        self._structured: bool | None = None if local is None else False
        self._closed_to_us: AccessError | None = None

    @property
    def identity(self) -> Json:
        """Model, sampling and hook, as provenance records them; no address, no key."""
        return {
            "model": self.options.model,
            "sampling": dict(self._sampling),
            "before_send": self.options.hook_name,
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel what is under way, close the connections and the cache."""
        under_way = list(self._pending.values())
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._transport is not None:
            await self._transport.close()
        self._cache.close()

    async def ask(self, question: Question) -> Answer:
        """Return an answer that meets the question's schema: cached, shared with another asker, or new.

        Raises BudgetError if the budget is spent, AccessError if the server is closed to us altogether,
        VlmError (naming `question.where`) if this question found no usable answer or, offline, has none.
        """
        async with self._door:
            sheet = await self.lay_out(question)
            self.usage.questions += 1
            if (stored := self.stored(sheet)) is not None:
                self.usage.cached += 1
                return stored
            if self.options.offline:
                raise VlmError("not in the answer cache", where=sheet.where, remedy="Run once with the server.")
            return await asyncio.shield(self._under_way(sheet))

    def _under_way(self, sheet: Sheet) -> "asyncio.Task[Answer]":
        """Return the task that asks: another asker's if that asks the same, else a new one.

        A task of its own, so that an asker who is cancelled takes nothing from the others nor from the cache.
        """
        if (task := self._pending.get(sheet.key)) is not None:
            self.usage.shared += 1
            return task
        task = self._pending[sheet.key] = asyncio.create_task(self._answer(sheet))
        task.add_done_callback(lambda _: self._pending.pop(sheet.key))
        return task

    async def lay_out(self, question: Question) -> Sheet:
        """Return the question as it would be sent, with its cache key."""
        pictures = tuple([await self._picture(image) for image in question.images])
        return lay_out(question, pictures, self.options.model, self._sampling)

    async def _picture(self, image: bytes | memoryview) -> Picture:
        if self._hook is None:
            return Picture.read(image)
        try:
            return Picture.read(await asyncio.to_thread(self._hook, bytes(image)))
        except Exception as error:  # foreign code; whatever it raises, the unblurred image must not go out
            raise VlmError(f"before_send failed ({type(error).__name__}: {error})") from error

    def stored(self, sheet: Sheet) -> Answer | None:
        """Return the cached answer to a sheet, or None; one that breaks the schema was not written by us."""
        found = self._cache.get(sheet.key)
        if found is None or wire.validate(found.value, sheet.schema).value is None:
            return None
        return Answer(found.value, found.input_tokens, found.output_tokens, True, _sizes(sheet))

    async def _answer(self, sheet: Sheet) -> Answer:
        try:
            async with self._slots:
                answer = await self._converse(sheet)
        except VlmError:
            self.usage.failed += 1
            raise
        self._cache.put(sheet.key, sheet.name, self.options.model, answer)
        return answer

    async def _converse(self, sheet: Sheet) -> Answer:
        """Ask, with a repair round if the answer is unusable; begin anew while rounds are left."""
        spent: list[wire.Reply] = []
        problem = ""
        for _ in range(self.options.max_rounds):
            rejected: wire.Rejected | None = None
            for _ in ("question", "repair"):
                reply = await self._send(sheet, rejected)
                spent.append(reply)
                verdict = wire.judge(reply, sheet.schema)
                if verdict.value is not None:
                    self.usage.repaired += rejected is not None
                    return self._accept(sheet, verdict.value, *spent)
                self.usage.invalid[verdict.kind] += 1
                rejected, problem = wire.Rejected(reply, verdict.problem), verdict.problem
        raise VlmError(f"no usable answer even after a repair round: {problem}", where=sheet.where)

    def keep(self, sheet: Sheet, value: dict, *replies: wire.Reply) -> Answer:
        """Return and remember the answer that replies got elsewhere (`batch`) came to."""
        answer = self._accept(sheet, value, *replies)
        self._cache.put(sheet.key, sheet.name, self.options.model, answer)
        return answer

    @staticmethod
    def _accept(sheet: Sheet, value: dict, *replies: wire.Reply) -> Answer:
        spent_in = sum(reply.input_tokens for reply in replies)
        spent_out = sum(reply.output_tokens for reply in replies)
        return Answer(value, spent_in, spent_out, sizes=_sizes(sheet))

    async def _send(self, sheet: Sheet, rejected: wire.Rejected | None = None) -> wire.Reply:
        """Send one round; the schema goes in `response_format` or, if the server takes none, in the text."""
        structured = self._structured is not False
        outcome = await self._persist(sheet, self._body(sheet, structured, rejected))
        if structured and isinstance(outcome, wire.Reply):
            self._structured = True
        elif structured and self._may_be_the_format(outcome):
            outcome = await self._persist(sheet, self._body(sheet, False, rejected))
            if self._structured is None and isinstance(outcome, wire.Reply):
                self._structured = False
        if isinstance(outcome, Failure):
            raise self._error(outcome, sheet)
        return outcome

    def _body(self, sheet: Sheet, structured: bool, rejected: wire.Rejected | None) -> Json:
        return wire.request_body(sheet, self.options.model, self._sampling, structured, rejected)

    def _may_be_the_format(self, outcome: wire.Reply | Failure) -> bool:
        """Tell whether a refused request deserves a second one without `response_format`.

        Until one structured request has succeeded any 400 or 422 may be about it; afterwards only one that
        says so (a server may take most schemas and not this one).
        """
        if not isinstance(outcome, Failure) or outcome.status not in (400, 422):
            return False
        return self._structured is None or "schema" in outcome.text or "response_format" in outcome.text

    async def _persist(self, sheet: Sheet, body: Json) -> wire.Reply | Failure:
        """Try until there is a reply, a failure that will not pass, or no attempt left."""
        for attempt in itertools.count():
            outcome = await self._attempt(sheet, body)
            if isinstance(outcome, wire.Reply):
                return outcome
            self.usage.faults[outcome.kind] += 1
            if not is_worth_waiting(outcome, attempt, self.options.max_attempts):
                return outcome
            self.usage.retries += 1
            # the slot stays taken meanwhile: a server that asks for a pause gets fewer requests, not others
            await asyncio.sleep(delay_s(attempt, outcome.pause_s, self.options.first_delay_s, self._chance))
        raise AssertionError("counting does not end")

    async def _attempt(self, sheet: Sheet, body: Json) -> wire.Reply | Failure:
        """Send one HTTP request within the budget and book what it cost."""
        if self._closed_to_us is not None:
            raise AccessError(self._closed_to_us.what, where=sheet.where, remedy=self._closed_to_us.remedy)
        server = self._server(with_images=bool(sheet.pictures))
        worst = self.worst_case_usd(sheet, body)
        await self._budget.reserve(worst)
        spent = worst  # unless we learn better: a request cancelled under way may be billed
        self.usage.requests += 1
        try:
            outcome = await self._timed(server, sheet, body)
            spent = self._cost(outcome, worst)
        finally:
            self._budget.settle(worst, spent)
            self.usage.cost_usd += spent
        return outcome

    async def _timed(self, server: Server, sheet: Sheet, body: Json) -> wire.Reply | Failure:
        start = time.perf_counter()
        response = await server.post(body)
        if isinstance(response, Failure):
            return response
        self.usage.latencies_s.append(time.perf_counter() - start)
        reply = wire.read_reply(response)
        if reply is None:
            return Failure("not a completion", "the response is no chat completion", True, maybe_billed=True)
        return wire.with_estimates(reply, input_tokens(wire.text_of(body), sheet.pictures))

    def _server(self, with_images: bool) -> Server:
        """Return the connection, made when first needed: cache and forecasts need neither key nor leave."""
        options = self.options
        if with_images and self._local is None:
            check_images_allowed(options.base_url, options.send_images)
        if self._transport is None:
            from embodied_cf.vlm.transport import Transport  # half a second that replays and dry runs need not pay

            self._transport = Transport(
                options.base_url,
                read_key(options.api_key_env, options.base_url),
                concurrency=options.concurrency,
                timeout_s=options.timeout_s,
                max_body_bytes=options.max_body_bytes,
            )
        return self._transport

    def worst_case_usd(self, sheet: Sheet, body: Json) -> float:
        """Return the most that a request can cost; 0 where no limit is set."""
        if self.options.max_cost_usd is None:
            return 0.0
        most = most_input_tokens(wire.text_of(body), sheet.pictures)
        return self.options.prices.cost(most, self.options.max_output_tokens)

    def _cost(self, outcome: wire.Reply | Failure, worst_usd: float) -> float:
        if isinstance(outcome, Failure):
            return worst_usd if outcome.maybe_billed else 0.0
        self.usage.input_tokens += outcome.input_tokens
        self.usage.output_tokens += outcome.output_tokens
        return self.options.prices.cost(outcome.input_tokens, outcome.output_tokens)

    def _error(self, failure: Failure, sheet: Sheet) -> VlmError:
        if failure.kind == "unreachable":
            return AccessError(failure.text, where=sheet.where, remedy="Is the server running at --base-url?")
        if failure.status in _CLOSED_TO_US or failure.code == "insufficient_quota" or failure.is_redirect:
            remedy = f"Check the key in {self.options.api_key_env}, --model and --base-url."
            self._closed_to_us = AccessError(failure.text, where=sheet.where, remedy=remedy)
            return self._closed_to_us
        return VlmError(failure.text, where=sheet.where)


async def ask_all(asker: Asker, questions: Iterable[Question]) -> list[Answer]:
    """Return the answers in the order of the questions, asked concurrently.

    Waits for all of them even if one fails, so that every answer that was paid for reaches the cache; then
    raises what matters most: an error that ends the run (budget, access) before one that ends the episode.
    """
    answers = await asyncio.gather(*map(asker.ask, questions), return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, VlmError) + (type(error) is VlmError))
    return [answer for answer in answers if isinstance(answer, Answer)]


def _sizes(sheet: Sheet) -> tuple[tuple[int, int], ...]:
    return tuple((picture.width, picture.height) for picture in sheet.pictures)
