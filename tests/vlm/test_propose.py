import asyncio
import re

import pytest
from vlm_helpers import Loopback, picture

from embodied_cf.errors import VlmError
from embodied_cf.vlm.captions import SeenObject
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.propose import Proposed, VlmProposer
from embodied_cf.vlm.question import Answer, Question

COMMANDS = ("forward", "turn_left", "turn_right", "adjust_left", "stop")
OBJECTS = (SeenObject(4, "red chair", (1.0, 2.0, 30.0, 40.0)), SeenObject(4, "door"))


def propose(options: ClientOptions, command: str = "turn_left", **changes) -> tuple[tuple[Proposed, ...], dict]:
    async def run() -> tuple[tuple[Proposed, ...], dict]:
        async with VlmClient(options) as client:
            frame, where = picture("green", (96, 64)), "e, step 4"
            found = await VlmProposer(client, "nav").propose(frame, command, COMMANDS, OBJECTS, where)
            return found, client.usage.summary()

    return asyncio.run(run())


def test_proposals_name_allowed_commands_once(server: Loopback) -> None:
    found, _ = propose(server.options())
    assert found
    commands = [proposal.command for proposal in found]
    assert len(set(commands)) == len(commands)
    assert set(commands) <= set(COMMANDS) - {"turn_left"}
    assert all(proposal.instruction.startswith("move towards the green") for proposal in found)
    known = {(None, None)} | {(seen.name, seen.box) for seen in OBJECTS}
    assert {(proposal.object_name, proposal.box) for proposal in found} <= known
    (line,) = server.requests()
    enum = line["schema"]["properties"]["proposals"]["items"]["properties"]
    assert enum["command"]["enum"] == ["forward", "turn_right", "adjust_left", "stop"]
    assert enum["object"]["enum"] == [1, 2, None]
    assert re.search(r"1: red chair at \[1, 2, 30, 40\]\n2: door\n", line["text"])
    assert "(96 wide, 64 high)" in line["text"]


def test_command_off_the_list_is_repaired_and_counted(start_server) -> None:
    server = start_server("--faults", "off_enum")
    found, usage = propose(server.options())
    assert found
    assert (usage["invalid"], usage["repaired"]) == ({"off_list": 1}, 1)
    assert "'fly away' is not one of" in server.requests()[1]["repair"]
    stubborn = start_server("--faults", "off_enum,off_enum")
    with pytest.raises(VlmError, match=r"e, step 4: propose: .*'fly away'"):
        propose(stubborn.options(max_rounds=1))


@pytest.mark.parametrize("fault", ["429", "cut", "refusal", "drop"])
def test_faults_change_nothing(start_server, server: Loopback, fault: str) -> None:
    assert propose(start_server("--faults", fault).options())[0] == propose(server.options())[0]


class Scripted:
    """An asker with one prepared answer."""

    identity: dict = {"model": "scripted"}  # noqa: RUF012

    def __init__(self, *items: dict) -> None:
        self.items, self.asked = list(items), 0

    async def ask(self, question: Question) -> Answer:
        self.asked += 1
        return Answer({"proposals": self.items})


def item(command: str, instruction: str, number: int | float | None = None) -> dict:
    return {"command": command, "instruction": instruction, "object": number, "reason": "r"}


def test_first_proposal_per_command_stays_in_the_order_of_commands() -> None:
    asker = Scripted(item("stop", "Stop here."), item("forward", " "), item("forward", "go", 2.0), item("stop", "b"))
    found = asyncio.run(VlmProposer(asker, "nav").propose(picture("red"), "turn_left", COMMANDS, OBJECTS))
    assert found == (
        Proposed("forward", "go", "door", None, "r"),
        Proposed("stop", "Stop here", None, None, "r"),
    )


def test_nothing_else_to_do_is_not_asked() -> None:
    asker = Scripted()
    assert asyncio.run(VlmProposer(asker, "arm").propose(picture("red"), "stop", ["stop", ""])) == ()
    assert asker.asked == 0
