import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from vlm_helpers import COLOURS, Loopback, episode_of, picture, segments_of

from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.errors import EmbodiedError, RecordError, UsageError, VlmError
from embodied_cf.vlm.captions import Captions
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.forecast import DryRun
from embodied_cf.vlm.openai_captioner import CaptionOptions, OpenAICaptioner, filter_schema
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Answer, Question
from embodied_cf.vlm.replay import replay_client, replayed
from embodied_cf.vlm.templates import SHIPPED, load_prompts
from embodied_cf.vlm.wording import ROBOTS, complaint, sound_box, tidy

CHOICE = CaptionOptions(every=3, window=8, stride=4)
CYCLE = [COLOURS[step % 6] for step in range(21)]
EPISODE = episode_of(CYCLE)
SEGMENTS = segments_of((6, "forward"), (14, "turn_left"), (20, ""))


def caption(options: ClientOptions, **changes: Any) -> Captions:
    async def run() -> Captions:
        async with VlmClient(options) as client:
            return await OpenAICaptioner(client, "nav", CHOICE, **changes).caption(EPISODE, SEGMENTS)

    return asyncio.run(run())


def by_name(server: Loopback, name: str) -> list[dict]:
    return [line for line in server.requests() if line["name"] == name and line["fault"] == "ok"]


def test_pairs_go_out_earlier_image_first(server: Loopback) -> None:
    caption(server.options())
    asked = by_name(server, "describe")
    pairs = []
    for line in asked:
        first, second = map(int, re.findall(r"EARLIER one \(step (\d+)\).*LATER one \(step (\d+)\)", line["text"])[0])
        assert line["colours"] == [CYCLE[first], CYCLE[second]], "the images are those steps, in that order"
        assert "96 pixels wide and 64 pixels high" in line["text"]
        assert "FIRST image is the EARLIER" in line["text"]
        pairs.append((first, second))
    assert sorted(pairs) == [(0, 3), (3, 6), (6, 9), (9, 12), (12, 15), (15, 18), (18, 20)]


def test_windows_are_told_what_was_seen_and_measured(server: Loopback) -> None:
    caption(server.options())
    told = {
        re.search(r"from step (\d+) to step (\d+)", line["text"]).groups(): line
        for line in by_name(server, "summarise")
    }
    assert sorted(map(int, [start for start, _ in told])) == [0, 4, 8, 12]
    text = told["4", "12"]["text"]
    assert told["4", "12"]["colours"] == []
    assert re.findall(r"- steps (\d+) to (\d+): description (\w+) then (\w+)", text) == [
        ("3", "6", CYCLE[3], CYCLE[6]), ("6", "9", CYCLE[6], CYCLE[9]), ("9", "12", CYCLE[9], CYCLE[12]),
    ]  # fmt: skip
    assert re.findall(r"- steps (\d+) to (\d+): (forward|turn_left|no clear command)", text) == [
        ("4", "6", "forward"), ("6", "12", "turn_left"),
    ]  # fmt: skip
    assert "no clear command" in told["12", "20"]["text"]
    assert "one of these verbs: move, go, drive" in text


def test_filter_sees_the_window_and_joins_by_candidate(server: Loopback) -> None:
    """The server shuffles the properties of its answers and names in each reason the key it stands under."""
    captions = caption(server.options())
    asked = {re.search(r"at step (\d+)", line["text"]).group(1): line for line in by_name(server, "filter")}
    assert set(asked) == {"0", "4", "8", "12"}
    assert asked["4"]["colours"] == [CYCLE[4], CYCLE[8], CYCLE[12]], "first, middle, last"
    assert {line["schema"]["properties"].keys().__len__() for line in asked.values()} == {3}
    verdicts = [(hindsight, "") for hindsight in captions.hindsight] + list(captions.rejected)
    assert len(verdicts) == 12
    assert captions.hindsight, "the server's coin kept none: change its seed"
    for hindsight, reason in captions.rejected:
        number = re.search(
            rf"candidate_(\d): {re.escape(hindsight.instruction)}\n", asked[str(hindsight.start)]["text"]
        )
        assert reason.startswith(f"filter: candidate_{number[1]} reason {CYCLE[hindsight.start]} then ")
    assert {(h.start, h.end) for h, _ in verdicts} == {(0, 8), (4, 12), (8, 16), (12, 20)}
    assert len({h.score for h, _ in verdicts}) > 6, "each has its own confidence"
    assert all(h.reason.startswith("instructions ") for h, _ in verdicts)


def test_filter_sees_the_path_drawn(server: Loopback) -> None:
    """Frames of one window, then the drawing, which is mostly white; the words say which image is which."""
    track = np.stack([np.arange(21) * 0.1, np.zeros(21), np.zeros(21)], axis=1)
    episode = replace(EPISODE, pose=track)

    async def run() -> None:
        async with VlmClient(server.options()) as client:
            await OpenAICaptioner(client, "nav", CHOICE).caption(episode, SEGMENTS)

    asyncio.run(run())
    line = next(line for line in by_name(server, "filter") if "image 1 at step 4," in line["text"])
    assert line["colours"] == [CYCLE[4], CYCLE[8], CYCLE[12], "white"]
    assert line["text"].startswith("The first 3 images are frames")
    assert "The last image is a drawing of the path that it took from step 4 to step 12" in line["text"]
    assert "height of the gripper" not in line["text"]


def test_objects_belong_to_the_first_frame(server: Loopback) -> None:
    captions = caption(server.options())
    assert {seen.step for seen in captions.objects} == {0, 3, 6, 9, 12, 15, 18}
    for seen in captions.objects:
        assert CYCLE[seen.step] in seen.name
        if seen.box is not None:
            assert 0 <= seen.box[0] < seen.box[2] <= 96
            assert 0 <= seen.box[1] < seen.box[3] <= 64
    assert any(seen.box for seen in captions.objects)
    assert any(seen.box is None for seen in captions.objects)


def halve(encoded: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".png", image[::2, ::2])[1].tobytes()


def test_boxes_of_resized_images_are_dropped(server: Loopback) -> None:
    captions = caption(server.options(before_send=halve))
    assert captions.objects
    assert {seen.box for seen in captions.objects} == {None}
    assert "48 pixels wide and 32 pixels high" in by_name(server, "describe")[0]["text"], "the image as sent"


def as_png(encoded: bytes) -> bytes:
    return cv2.imencode(".png", cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR))[1].tobytes()


@pytest.mark.parametrize("kind", [".webp", ".bmp"])
def test_a_hook_may_make_a_format_that_servers_take(kind: str) -> None:
    """As the error that names such a frame advises."""
    frames = [picture(colour, kind=kind) for colour in CYCLE]
    episode = replace(EPISODE, cameras={"primary": EncodedImages(frames)})
    for hook, refused in ((None, True), (as_png, False)):
        captioner = OpenAICaptioner(DryRun(VlmClient(ClientOptions(model="m", before_send=hook))), "nav", CHOICE)
        if refused:
            with pytest.raises(VlmError, match="Convert it with a before_send hook"):
                asyncio.run(captioner.caption(episode, SEGMENTS))
        else:
            assert asyncio.run(captioner.caption(episode, SEGMENTS)).objects


SPOILED = ("cut", "truncated", "refusal", "content_filter", "no_choices", "not_json", "nan", "wrong_schema")
HARMLESS = ("429", "500", "503", "drop", "garbage", "hang", "drip", "wrong_finish", "fenced", "no_usage")


def test_faults_change_nothing(start_server, server: Loopback) -> None:
    clean = caption(server.options())
    # one at a time, so that each spoiled answer meets a good repair
    faults = [fault for spoiled in SPOILED for fault in (spoiled, "ok")]
    sequence = ",".join((*faults, *HARMLESS))
    faulty = start_server("--faults", sequence, "--retry-after", "0.01", "--hang", "0.5")
    assert caption(faulty.options(concurrency=1, max_attempts=20, timeout_s=0.3)) == clean
    assert {line["fault"] for line in faulty.requests()} == {*SPOILED, *HARMLESS, "ok"}


def test_plain_server_gives_the_same_captions(start_server, server: Loopback) -> None:
    assert caption(start_server("--plain-only").options()) == caption(server.options())


def test_hopeless_server_is_a_vlm_error(start_server) -> None:
    server = start_server("--fraction", "1", "--kinds", "cut")
    with pytest.raises(VlmError, match=r"set/1.0.0/train/0/7, steps \d+ and \d+: describe: no usable answer"):
        caption(server.options())


def test_replay_needs_no_server(server: Loopback, tmp_path: Path) -> None:
    options = server.options(cache=tmp_path / "c.sqlite")
    first = caption(options)
    asked = len(server.requests())

    async def replay(cache: Path, **changes: Any) -> tuple[Captions, object, object]:
        away = replace(options, base_url="http://127.0.0.1:9/v1", **changes)
        async with VlmClient(options) as live, replay_client(away, cache) as client:
            captioner = OpenAICaptioner(live, "nav", CHOICE)
            again = replayed(captioner, client)
            return await again.caption(EPISODE, SEGMENTS), captioner.identity, again.identity

    second, identity, identity_again = asyncio.run(replay(tmp_path / "c.sqlite"))
    assert second == first
    assert identity == identity_again
    assert len(server.requests()) == asked
    with pytest.raises(VlmError, match=r"steps 0 and 3: describe: not in the answer cache"):
        asyncio.run(replay(tmp_path / "c.sqlite", temperature=0.7))
    with pytest.raises(VlmError, match="no answer cache to replay"):
        asyncio.run(replay(tmp_path / "absent.sqlite"))
    assert not (tmp_path / "absent.sqlite").exists()


def test_dry_run_counts_the_whole_pipeline(server: Loopback) -> None:
    async def run() -> dict:
        async with VlmClient(server.options()) as client:
            dry = DryRun(client)
            await OpenAICaptioner(dry, "nav", CHOICE).caption(EPISODE, SEGMENTS)
            return dry.forecast.summary()

    summary = asyncio.run(run())
    assert server.requests() == []
    assert summary["requests"] == 7 + 4 + 4
    assert summary["input_tokens"] > (2 * 7 + 3 * 4) * 255, "images are counted"


class Scripted:
    """An asker that gives prepared answers by prompt name."""

    identity: dict = {"model": "scripted"}  # noqa: RUF012

    def __init__(self, **values: dict) -> None:
        self.values = values
        self.asked: list[str] = []

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question.prompt.name)
        return Answer(self.values[question.prompt.name], sizes=((96, 64),) * len(question.images))


def scripted(**values: dict) -> tuple[Captions, list[str]]:
    asker = Scripted(**values)
    return asyncio.run(OpenAICaptioner(asker, "nav", CaptionOptions()).caption(EPISODE, SEGMENTS)), asker.asked


def item(text: str) -> dict:
    return {"instruction": text, "reason": "why"}


def test_malformed_instructions_are_rejected_with_reason_before_asking() -> None:
    texts = ["Proceed to the door.", " ", "go " + "far " * 12, "Go to the door.", ' "go to the door" ']
    verdict = {"keep": True, "confidence": 0.75, "reason": "seen"}
    captions, asked = scripted(
        describe={"description": "d", "objects": []},
        summarise={"instructions": [item(text) for text in texts]},
        filter={"candidate_1": verdict},
    )
    assert [(h.start, h.end, h.instruction, h.score) for h in captions.hindsight] == [(0, 20, "Go to the door", 0.75)]
    assert [(h.instruction[:10], reason) for h, reason in captions.rejected] == [
        ("Proceed to", "form: begins with none of: move, go, drive, turn, follow, pass, stop"),
        ("", "form: empty"),
        ("go far far", "form: longer than 12 words"),
    ]
    captions, asked = scripted(describe={"description": "d", "objects": []}, summarise={"instructions": [item("fly")]})
    assert "filter" not in asked, "nothing left to look at"
    assert len(captions.rejected) == 1


def test_short_episodes() -> None:
    async def run(length: int) -> Captions:
        asker = Scripted(
            describe={"description": "d", "objects": [{"name": "door", "box": [1, 2, 30, 40]}] * 2},
            summarise={"instructions": [item("go on")]},
            filter={"candidate_1": {"keep": True, "confidence": 1, "reason": "r"}},
        )
        episode = episode_of(CYCLE[:length])
        return await OpenAICaptioner(asker, "nav").caption(episode, segments_of((max(length - 1, 1), "forward")))

    assert asyncio.run(run(1)) == Captions()
    two = asyncio.run(run(2))
    assert [(h.start, h.end, h.score) for h in two.hindsight] == [(0, 1, 1.0)]
    assert [(seen.step, seen.box) for seen in two.objects] == [(0, (1.0, 2.0, 30.0, 40.0))], "listed once"


def test_boxes_by_hand() -> None:
    assert sound_box([-3, 10, 20, 30], 96, 64) == (0, 10, 20, 30)
    assert sound_box([10, 10, 96.4, 64.2], 96, 64) == (10, 10, 96, 64)
    for absurd in (
        None, [20, 10, 10, 30], [0.1, 0.2, 0.5, 0.9], [100, 200, 500, 900], [0, 0, 1000, 1000], [5, 5, 6, 60],
        [float("inf"), 0, 5, 5], [0, 0, 10**400, 5], [float("nan"), 0, 5, 5],
    ):  # fmt: skip
        assert sound_box(absurd, 96, 64) is None, absurd


def test_wording_by_hand() -> None:
    assert tidy(' "Go  to\nthe door." ') == "Go to the door"
    assert complaint("Turn, then stop", ROBOTS["nav"].verbs, 12) == ""
    assert complaint("pick up the cup", ROBOTS["nav"].verbs, 12).startswith("begins with none of")
    assert complaint("pick up the cup", ROBOTS["arm"].verbs, 12) == ""


def test_arm_is_spoken_of_as_an_arm(server: Loopback) -> None:
    async def run() -> Captions:
        async with VlmClient(server.options()) as client:
            return await OpenAICaptioner(client, "arm", CHOICE).caption(EPISODE, SEGMENTS)

    asyncio.run(run())
    assert all("a robot arm with a gripper" in line["text"] for line in server.requests())


@pytest.mark.parametrize(
    ("run", "kind", "text"),
    [
        (
            lambda: CaptionOptions(window=5, stride=6),
            UsageError,
            "stride 6 > window 5 would leave steps uncovered",
        ),
        (lambda: CaptionOptions(every=0), UsageError, "at least 1"),
    ],
)
def test_impossible_options(run: Callable, kind: type[EmbodiedError], text: str) -> None:
    with pytest.raises(kind, match=text):
        run()


def test_episode_without_camera() -> None:
    blind: Awaitable = OpenAICaptioner(Scripted(), "nav").caption(replace(EPISODE, cameras={}), SEGMENTS)
    with pytest.raises(RecordError, match=r"set/1.0.0/train/0/7: no camera"):
        asyncio.run(blind)


def test_filter_schema_demands_each_candidate() -> None:
    schema = filter_schema(load_prompts()["filter"], 2)
    assert schema["required"] == ["candidate_1", "candidate_2"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert "$defs" not in schema


def test_own_prompts_are_used_and_recorded(server: Loopback, tmp_path: Path) -> None:
    for file in SHIPPED.iterdir():
        (tmp_path / file.name).write_text(file.read_text() + ("\nBe kind." if file.suffix == ".txt" else ""))
    own = load_prompts(tmp_path)
    caption(server.options(), prompts=own)
    assert all(line["text"].endswith("Be kind.") for line in server.requests())
    asker = Scripted()
    assert OpenAICaptioner(asker, "nav", prompts=own).identity != OpenAICaptioner(asker, "nav").identity
