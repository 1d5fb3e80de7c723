"""What else could the robot have done here: counterfactual commands from a vision-language model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from embodied_cf.vlm.captions import Box, SeenObject
from embodied_cf.vlm.question import Asker, Json, Prompt, Question
from embodied_cf.vlm.templates import inline, load_prompts
from embodied_cf.vlm.wording import ROBOTS, Kind, tidy


@dataclass(frozen=True)
class Proposed:
    """A command that the robot did not carry out but could have, and the instruction that asks for it."""

    command: str
    instruction: str
    object_name: str | None
    box: Box | None
    """Of the object, in pixels of the frame, where it was seen with one."""
    reason: str


@dataclass(frozen=True)
class VlmProposer:
    """Asks for counterfactuals at one frame; the schema of each request lists the commands it may name."""

    asker: Asker
    kind: Kind
    prompts: Mapping[str, Prompt] = field(default_factory=load_prompts)
    longest: int = 12
    """Words per instruction that are asked for."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records: equal for equal answers, replayed or not."""
        options = {"kind": self.kind, "longest": self.longest}
        hashes = {"propose": self.prompts["propose"].sha256}
        return {"proposer": "vlm", **self.asker.identity, "prompts": hashes, "options": options}

    async def propose(
        self,
        frame: bytes | memoryview,
        command: str,
        commands: Sequence[str],
        objects: Sequence[SeenObject] = (),
        where: str = "",
    ) -> tuple[Proposed, ...]:
        """Return at most one proposal for each of `commands` except the factual `command`, in their order.

        `frame` is the encoded image of the primary camera at the branch point, `objects` what is seen in it,
        `where` names it in error texts. Raises VlmError if the model cannot be asked or understood.
        """
        others = [other for other in dict.fromkeys(commands) if other and other != command]
        if not others:
            return ()
        answer = await self.asker.ask(self._question(frame, command, others, objects, where))
        proposals = [_read(item, objects) for item in answer.value["proposals"]]
        first: dict[str, Proposed] = {}
        for proposal in proposals:
            if proposal.instruction:
                first.setdefault(proposal.command, proposal)
        return tuple(first[other] for other in others if other in first)

    def _question(
        self,
        frame: bytes | memoryview,
        command: str,
        others: Sequence[str],
        objects: Sequence[SeenObject],
        where: str,
    ) -> Question:
        prompt = self.prompts["propose"]
        values = {
            "robot": ROBOTS[self.kind].name,
            "command": command,
            "commands": list(others),
            "objects": [{"name": seen.name, "box": seen.box} for seen in objects],
            "longest": self.longest,
        }
        schema = proposal_schema(prompt, others, len(objects))
        tokens = 50 * len(others)
        return Question(prompt, values, (frame,), schema=schema, where=where, expected_output_tokens=tokens)


def proposal_schema(prompt: Prompt, commands: Sequence[str], objects: int) -> dict:
    """Return a schema that admits only these commands, and objects 1 to `objects` or null."""
    numbers = [*range(1, objects + 1), None]
    definitions = {
        "command": {"type": "string", "enum": list(commands)},
        "object": {"type": ["integer", "null"], "enum": numbers},
    }
    return inline(prompt.schema, definitions)


def _read(item: Json, objects: Sequence[SeenObject]) -> Proposed:
    seen = objects[int(item["object"]) - 1] if item["object"] is not None else None
    return Proposed(
        command=item["command"],
        instruction=tidy(item["instruction"]),
        object_name=None if seen is None else seen.name,
        box=None if seen is None else seen.box,
        reason=tidy(item["reason"]),
    )
