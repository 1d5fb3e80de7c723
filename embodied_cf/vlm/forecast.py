"""What asking would cost, without asking."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from embodied_cf.vlm.budget import Prices, input_tokens
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.question import Answer, Json, Question


@dataclass
class Forecast:
    """A tally of questions. Tokens are estimates: see `budget` for the rules; each question says how long an
    answer it expects. Retries and repairs are not foreseen."""

    prices: Prices = field(default_factory=Prices)
    questions: int = 0
    cached: int = 0
    repeated: int = 0
    """Questions that occur before in the same stream; asked once."""
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def summary(self) -> dict[str, object]:
        """Return everything as JSON-able data; `cost_usd` is null while prices are unknown."""
        counts = ("questions", "cached", "repeated", "requests", "input_tokens", "output_tokens")
        cost = self.prices.cost(self.input_tokens, self.output_tokens) if self.prices.known else None
        return {**{name: getattr(self, name) for name in counts}, "cost_usd": cost}


class DryRun:
    """An asker that sends nothing: cached answers are real, the others are stand-ins that meet the schema.

    Put in the client's place, it carries a whole captioner through, so that later questions, which depend on
    earlier answers, are counted too. What comes out of that captioner is not to be kept.
    """

    def __init__(self, client: VlmClient) -> None:
        self._client = client
        self._seen: set[str] = set()
        self.forecast = Forecast(client.options.prices)

    @property
    def identity(self) -> Json:
        """Identity of the client, marked as a dry run."""
        return {**self._client.identity, "dry_run": True}

    async def ask(self, question: Question) -> Answer:
        """Count the question and return its cached answer or a stand-in."""
        sheet = await self._client.lay_out(question)
        tally = self.forecast
        tally.questions += 1
        if (stored := self._client.stored(sheet)) is not None:
            tally.cached += 1
            return stored
        if sheet.key in self._seen:
            tally.repeated += 1
        else:
            self._seen.add(sheet.key)
            tally.requests += 1
            tally.input_tokens += input_tokens(sheet.text + json.dumps(sheet.schema), sheet.pictures)
            tally.output_tokens += question.expected_output_tokens
        value = stand_in(sheet.schema)
        assert isinstance(value, dict)
        return Answer(value, sizes=tuple((picture.width, picture.height) for picture in sheet.pictures))


async def forecast(client: VlmClient, questions: Iterable[Question]) -> Forecast:
    """Return what a stream of questions would cost. Asks nothing; holds one question at a time."""
    dry = DryRun(client)
    for question in questions:
        await dry.ask(question)
    return dry.forecast


def stand_in(schema: Json) -> object:
    """Return a value that meets the schema: first of an enum, two items, a sentence of ten words, 1, true."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return stand_in(schema["anyOf"][0])
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return {name: stand_in(inner) for name, inner in schema.get("properties", {}).items()}
        case "array":
            count = min(max(2, schema.get("minItems", 0)), schema.get("maxItems", 2))
            return [stand_in(schema["items"])] * count
        case "string":
            return "move past the first thing and then stop beside it"
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return schema.get("minimum", 1)
