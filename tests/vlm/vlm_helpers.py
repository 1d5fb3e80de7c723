"""What the tests here share: a handle on a server process, pictures whose colour it can tell, a question."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from loopback_server import PALETTE

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.language.segments import Segments
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Prompt, Question

COLOURS = tuple(PALETTE)
KEY = "sk-very-secret-0123456789"


@dataclass
class Loopback:
    """One server process. `options(...)` makes client options for it; `requests()` reads its log."""

    port: int
    log: Path

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def options(self, **changes: Any) -> ClientOptions:
        """Options with short delays, so that faults cost a test no time."""
        quick = {"model": "m", "base_url": self.base_url, "first_delay_s": 0.01, "timeout_s": 5.0}
        return ClientOptions(**(quick | changes))

    def requests(self) -> list[dict]:
        return [json.loads(line) for line in _whole_lines(self.log)] if self.log.exists() else []

    def asked_twice(self) -> list[str]:
        """Questions that were answered well more than once."""
        good = Counter(line["digest"] for line in self.requests() if line["fault"] == "ok")
        return [digest for digest, count in good.items() if count > 1]


def picture(colour: str, size: tuple[int, int] = (32, 24), mark: int = 0, kind: str = ".jpg") -> bytes:
    """An encoded image (width, height) of one colour; `mark` makes it another image of the same colour."""
    image = np.full((size[1], size[0], 3), PALETTE[colour][::-1], np.uint8)
    if mark:
        image[0, :8] = [[255 * (mark >> bit & 1)] * 3 for bit in range(8)]
    return cv2.imencode(kind, image)[1].tobytes()


SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string"}, "note": {"type": "string"}},
    "required": ["colour", "note"],
    "additionalProperties": False,
}
PROMPT = Prompt("colours", "Which colour is it? Case {{ case }}.", SCHEMA)


def colour_question(colour: str, case: object = 0, **changes: Any) -> Question:
    """A question whose right answer is `{"colour": "colour COLOUR", ...}`."""
    return Question(PROMPT, {"case": case}, (picture(colour),), where=f"episode {case}", **changes)


def episode_of(colours: list[str], size: tuple[int, int] = (96, 64)) -> Episode:
    """An episode that shows one colour per step; each frame is another image."""
    frames = [picture(colour, size, mark=step) for step, colour in enumerate(colours)]
    length = len(frames)
    return Episode(
        episode_id="set/1.0.0/train/0/7",
        cameras={"front": EncodedImages(frames), "back": EncodedImages([picture("white")] * length)},
        state=np.zeros((length, 1)),
        action=np.zeros((length, 2)),
        action_mask=np.arange(length) < length - 1,
        timestamp=np.arange(length, dtype=float),
    )


def segments_of(*runs: tuple[int, str]) -> Segments:
    """A timeline from (end, command) pairs."""
    ends = [end for end, _ in runs]
    commands = tuple(command for _, command in runs)
    return Segments(np.array([0, *ends[:-1]]), np.array(ends), commands, ("",) * len(runs))


def _whole_lines(log):
    """The server may be at the last line right now."""
    *lines, _unfinished = log.read_text().split("\n")
    return lines
