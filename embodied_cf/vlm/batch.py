"""Asking in batches: what is not known yet is noted down, sent together, and known when the batch is over.

An asker (`BatchAsker`) takes the client's place. Whoever asks meets `WaitingError` for what no batch has answered so
far; after `collect` the same questions are asked again, and so on, since later questions depend on earlier answers.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from embodied_cf.errors import BudgetError, VlmError
from embodied_cf.vlm import wire
from embodied_cf.vlm.access import AccessError, check_images_allowed
from embodied_cf.vlm.batch_api import MOST_BYTES, MOST_REQUESTS, BatchApi, Remote
from embodied_cf.vlm.batch_store import BatchStore, OpenBatch
from embodied_cf.vlm.budget import input_tokens
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.question import Answer, Json, Question, Sheet, digest
from embodied_cf.vlm.retry import Failure

_LONGEST_POLL_S = 60.0
_UNDONE = Failure("not done", "no batch brought an answer", True)


class WaitingError(VlmError):
    """A question that stands in a batch; ask again when that is over."""


@dataclass(frozen=True)
class _Noted:
    key: str
    line: bytes = b""
    worst_usd: float = 0.0


class BatchAsker:
    """Answers from cache and finished batches; notes down the rest. `told` hears how batches get on.

    Budgets hold before anything is sent: what does not fit is noted in a later round, when the true cost of
    earlier ones is known. Batches that an earlier process left open count as this one's.
    """

    def __init__(self, client: VlmClient, store: BatchStore, api: BatchApi, told: Callable[[str], None]) -> None:
        self._client, self._store, self._api, self._told = client, store, api, told
        self.waiting = 0
        """How often `WaitingError` was raised."""
        self._noted: dict[str, _Noted] = {}
        self._bytes = 0
        self._most, self._one_at_a_time = MOST_REQUESTS, False
        self._short = self._settled = False
        self._new: set[str] = set()  # answered since this process began
        left = store.open_batches(client.options.base_url)
        client.usage.requests += sum(batch.requests for batch in left)
        self._reserved_usd = sum(batch.worst_usd for batch in left)

    @property
    def identity(self) -> Json:
        """The client's: answers do not depend on the way they come."""
        return self._client.identity

    async def ask(self, question: Question) -> Answer:
        """Return an answer that meets the question's schema.

        Raises WaitingError if a batch is to bring it, AccessError if images may not be sent, VlmError if this question
        found no usable answer.
        """
        sheet = await self._client.lay_out(question)
        usage = self._client.usage
        usage.questions += self._settled
        if (stored := self._client.stored(sheet)) is not None:
            usage.cached += self._settled and sheet.key not in self._new
            return stored
        try:
            return await self._converse(sheet)
        except VlmError:
            usage.failed += self._settled
            raise

    def settle(self) -> None:
        """Say that all rounds are over: what has no answer now gets none."""
        self._settled = True

    async def collect(self) -> None:
        """Send what was noted and wait until no batch is open.

        Raises BudgetError if questions wait and the budget lets none of them through, AccessError if the server
        is closed to us or refuses a batch. What was sent stays on record: the next process goes on with it.
        """
        await self._send()
        left = self._store.open_batches(self._client.options.base_url)
        if self._short and not left:
            raise BudgetError(
                "the budget is spent",
                remedy="Answers so far are cached: run again with a larger --max-requests or --max-cost to go on.",
            )
        self._short = False
        # all of them, even if one fails: what was paid for is to be kept
        ends = await asyncio.gather(*map(self._see_through, left), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _converse(self, sheet: Sheet) -> Answer:
        """Put the question and, if its answer is unusable, ask once to mend it."""
        spent: list[wire.Reply] = []
        rejected: wire.Rejected | None = None
        for _ in ("question", "repair"):
            spent.append(await self._reply(sheet, rejected))
            verdict = wire.judge(spent[-1], sheet.schema)
            if verdict.value is not None:
                self._client.usage.repaired += rejected is not None
                self._new.add(sheet.key)
                return self._client.keep(sheet, verdict.value, *spent)
            rejected = wire.Rejected(spent[-1], verdict.problem)
            self._client.usage.invalid[verdict.kind] += self._settled
        assert rejected is not None
        raise VlmError(f"no usable answer even after a repair round: {rejected.problem}", where=sheet.where)

    async def _reply(self, sheet: Sheet, rejected: wire.Rejected | None) -> wire.Reply:
        """Return the reply to one round; a server that takes no schema is asked again with the schema in words."""
        options = self._client.options
        for structured in (True, False):
            body = wire.request_body(sheet, options.model, options.sampling, structured, rejected)
            outcome = await self._outcome(sheet, body)
            if isinstance(outcome, wire.Reply):
                return outcome
            if outcome.status not in (400, 422):
                break
        raise VlmError(outcome.text, where=sheet.where)

    async def _outcome(self, sheet: Sheet, body: Json) -> wire.Reply | Failure:
        key = digest(body)
        found = self._store.outcome(key)
        if found is None:
            await self._note(key, sheet, body)
            raise WaitingError("it waits for a batch", where=sheet.where)
        if isinstance(found, Failure):
            return found
        reply = wire.read_reply(found)
        if reply is None:
            return Failure("not a completion", "the response is no chat completion", False)
        return wire.with_estimates(reply, input_tokens(wire.text_of(body), sheet.pictures))

    async def _note(self, key: str, sheet: Sheet, body: Json) -> None:
        """Put a request into the next batch, unless it stands in one or does not fit the budget."""
        if self._settled:
            raise VlmError(_UNDONE.text, where=sheet.where)
        if sheet.pictures:
            check_images_allowed(self._client.options.base_url, self._client.options.send_images)
        self.waiting += 1
        if key in self._noted or self._store.is_open(key):
            return
        request = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
        noted = _Noted(key, json.dumps(request).encode() + b"\n", self._client.worst_case_usd(sheet, body))
        if not self._fits_budget(noted.worst_usd):
            self._short = True
            return
        if len(self._noted) >= self._most or self._bytes + len(noted.line) > MOST_BYTES:
            if self._one_at_a_time:
                return  # the next round asks it
            await self._send()
            if key in self._noted or self._store.is_open(key):
                return  # somebody else noted it meanwhile
        self._noted[key] = noted
        self._bytes += len(noted.line)
        self._reserved_usd += noted.worst_usd

    def _fits_budget(self, worst_usd: float) -> bool:
        options, usage = self._client.options, self._client.usage
        if options.max_requests is not None and usage.requests + len(self._noted) >= options.max_requests:
            return False
        return options.max_cost_usd is None or usage.cost_usd + self._reserved_usd + worst_usd <= options.max_cost_usd

    async def _send(self) -> None:
        """Begin a batch of what was noted. Each step is on record before the next."""
        noted, self._noted, self._bytes = list(self._noted.values()), {}, 0
        if not noted:
            return
        self._client.usage.requests += len(noted)
        token = uuid.uuid4().hex
        self._store.begin(token, self._client.options.base_url, [(one.key, one.worst_usd) for one in noted])
        file = await self._api.upload(f"{token}.jsonl", b"".join(one.line for one in noted))
        self._store.uploaded(token, file)
        remote = await self._api.create(file, token)
        self._store.created(token, remote.id)
        self._told(f"batch {remote.id}: {len(noted)} requests sent")

    async def _see_through(self, batch: OpenBatch) -> None:
        """Wait for a batch, keep what came of it, and have the server delete its files."""
        if batch.input_file is None:  # we died before anything could be done with it
            self._release(batch)
            return
        remote = await self._wait(batch, await self._remote(batch, batch.input_file))
        if remote.status == "failed":
            await self._refused(batch, remote)
            return
        outcomes: dict[str, bytes | Failure] = dict.fromkeys(self._store.keys(batch.token), _UNDONE)
        for file in filter(None, (remote.error_file, remote.output_file)):
            outcomes |= await self._api.outcomes(file, batch.requests)
        self._book(batch, outcomes)
        self._store.finish(batch.token, outcomes, self._client.options.max_attempts)
        for file in filter(None, (batch.input_file, remote.output_file, remote.error_file)):
            await self._api.discard(file)
        if remote.status == "cancelled":
            remedy = "What it had answered is kept. Run the same command again to ask the rest."
            raise AccessError("the batch was cancelled", where=remote.id, remedy=remedy)

    async def _remote(self, batch: OpenBatch, file: str) -> Remote:
        if batch.batch is not None:
            return await self._api.get(batch.batch)
        remote = await self._api.find(batch.token) or await self._api.create(file, batch.token)
        self._store.created(batch.token, remote.id)
        return remote

    async def _wait(self, batch: OpenBatch, remote: Remote) -> Remote:
        pause, shown = self._client.options.first_delay_s, ""
        while True:
            text = f"batch {remote.id}: {remote.status}, {remote.done + remote.failed} of {batch.requests}"
            if text != shown:
                self._told(text)
            if remote.is_over:
                return remote
            shown = text
            await asyncio.sleep(pause)
            pause = min(_LONGEST_POLL_S, 1.5 * pause)
            remote = await self._api.get(remote.id)

    async def _refused(self, batch: OpenBatch, remote: Remote) -> None:
        """Take back a batch of which nothing was done. One that was too large is sent in halves, one at a time."""
        self._release(batch)
        if batch.input_file is not None:
            await self._api.discard(batch.input_file)
        if remote.code != "token_limit_exceeded" or batch.requests == 1:
            remedy = "Nothing of it was done. Mend what it says, and run the same command again."
            raise AccessError(f"the server refused a batch ({remote.problem})", where=remote.id, remedy=remedy)
        self._one_at_a_time, self._most = True, max(1, min(self._most, batch.requests) // 2)

    def _release(self, batch: OpenBatch) -> None:
        self._store.give_up(batch.token)
        self._client.usage.requests -= batch.requests
        self._reserved_usd -= batch.worst_usd

    def _book(self, batch: OpenBatch, outcomes: Mapping[str, bytes | Failure]) -> None:
        """Replace what was reserved for a batch by what it did cost."""
        usage = self._client.usage
        self._reserved_usd -= batch.worst_usd
        for key in self._store.keys(batch.token):
            outcome = outcomes.get(key, _UNDONE)
            if isinstance(outcome, Failure):
                usage.faults[outcome.kind] += 1
            elif (reply := wire.read_reply(outcome)) is not None:
                tokens = max(0, reply.input_tokens), max(0, reply.output_tokens)
                usage.input_tokens += tokens[0]
                usage.output_tokens += tokens[1]
                usage.cost_usd += usage.prices.cost(*tokens)
