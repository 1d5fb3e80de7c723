"""Health checks of RLDS data, one small function each; `health_issues` says what the codes mean.

Nothing is ever repaired here.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from embodied_cf.datasets.episode_view import EpisodeView, is_action
from embodied_cf.datasets.features import STEPS, Features
from embodied_cf.datasets.health_issues import JUMP, Hit
from embodied_cf.datasets.looks import CameraSummary, Look
from embodied_cf.datasets.motion_statistics import MotionSummary
from embodied_cf.datasets.statistics import LanguageSummary, NumberSummary

_RLDS_KEYS = ("reward", "discount", "is_first", "is_last", "is_terminal")
_TIMES = re.compile(r"(\d+)\s?x\s+[a-z]", re.IGNORECASE)


# --- one episode ----------------------------------------------------------------------------------------------


def check_record(view: EpisodeView) -> Iterator[Hit]:
    """Features that cannot be read, and lengths."""
    for key, problem in view.unreadable.items():
        yield Hit("E104", problem if key in problem else f"{key}: {problem}")
    for key, length in view.uneven.items():
        yield Hit("E105", f"{key} has {length} entries for {view.steps} steps")
    if view.steps == 0:
        yield Hit("E106")
    elif view.steps == 1:
        yield Hit("W107")


def check_flags(view: EpisodeView) -> Iterator[Hit]:
    """is_first, is_last and is_terminal against the episode's length."""
    if view.steps:
        yield from _first_flag(_true_steps(view, "is_first"))
        yield from _end_flag(_true_steps(view, "is_last"), view.steps, absent="W301", misplaced="W304")
        yield from _end_flag(_true_steps(view, "is_terminal"), view.steps, absent="I302", misplaced="W305")


def _true_steps(view: EpisodeView, flag: str) -> list[int] | None:
    values = view.numbers.get(f"{STEPS}/{flag}")
    return None if values is None else np.flatnonzero(values).tolist()


def _first_flag(steps: list[int] | None) -> Iterator[Hit]:
    if steps == []:
        yield Hit("W303", "true nowhere")
    elif steps and steps != [0]:
        yield Hit("W303", "true elsewhere too" if steps[0] == 0 else "true elsewhere", step=max(steps[:2]))


def _end_flag(steps: list[int] | None, length: int, absent: str, misplaced: str) -> Iterator[Hit]:
    if steps == []:
        yield Hit(absent)
    elif steps and steps[0] != length - 1:
        yield Hit(misplaced, step=steps[0])


def check_finite(view: EpisodeView) -> Iterator[Hit]:
    """NaN and infinity in numeric features."""
    for key, values in view.numbers.items():
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            yield Hit("E501", key, len(wrong), int(wrong[0, 0]))


def check_instructions(view: EpisodeView, keys: Sequence[str]) -> Iterator[Hit]:
    """Steps whose instruction is empty. Slots beside a text are padding and count as nothing."""
    for key in keys:
        empty = [step for step, slots in enumerate(view.texts.get(key, ())) if not any(slots)]
        if empty:
            yield Hit("W601", key, len(empty), empty[0])


def check_images(looks: Mapping[str, Sequence[Look]], declared: Mapping[str, tuple[int | None, ...]]) -> Iterator[Hit]:
    """Frames that do not decode, or have another size than features.json says."""
    for key, seen in looks.items():
        broken = [look for look in seen if look.problem]
        if broken:
            yield Hit("E403", f"{key}: {broken[0].problem}", len(broken), broken[0].step)
        wanted = declared.get(key, ())[:2]
        odd = [look for look in seen if not look.problem and not _fits((look.height, look.width), wanted)]
        if odd:
            yield Hit("W404", f"{key} is {odd[0].height}x{odd[0].width}, declared {wanted}", len(odd), odd[0].step)


def _fits(size: tuple[int, int], wanted: tuple[int | None, ...]) -> bool:
    return all(want in (None, got) for got, want in zip(size, wanted, strict=False))


def check_camera_facts(view: EpisodeView, looks: Mapping[str, Sequence[Look]]) -> Iterator[Hit]:
    """`has_image_0` and the like against the pictures of `image_0`."""
    for key, seen in looks.items():
        decoded = [look for look in seen if not look.problem]
        claim = _claim(view, key.rsplit("/", 1)[-1])
        if decoded and claim is not None and claim[1] == all(look.blank for look in decoded):
            shows = "is blank" if claim[1] else "holds pictures"
            yield Hit("W402", f"{claim[0]} is {claim[1]}, {key.removeprefix('steps/')} {shows}")


def check_language_facts(view: EpisodeView, keys: Sequence[str]) -> Iterator[Hit]:
    """`has_language` against the texts."""
    for key in keys:
        claim = _claim(view, "language") or _claim(view, key.rsplit("/", 1)[-1])
        texts = view.texts.get(key)
        if claim and texts and claim[1] != (says := any(any(slots) for slots in texts)):
            holds = "holds text" if says else "holds none"
            yield Hit("W604", f"{claim[0]} is {claim[1]}, {key.removeprefix('steps/')} {holds}")


def _claim(view: EpisodeView, name: str) -> tuple[str, bool] | None:
    found = [(key.rsplit("/", 1)[-1], value) for key, value in view.facts.items() if key.endswith(f"/has_{name}")]
    return found[0] if found else None


# --- the dataset ----------------------------------------------------------------------------------------------


def check_features(features: Features, strict: bool) -> Iterator[Hit]:
    """What features.json alone gives away. The lesser RLDS keys are demanded only if `strict`."""
    heads = {key.split("/")[1] for key in features if key.startswith(f"{STEPS}/")}
    lacking = [key for key in ("observation", "action") if key not in heads]
    if lacking:
        yield Hit("E201", ", ".join(lacking), len(lacking))
    lesser = [key for key in _RLDS_KEYS if key not in heads]
    if strict and lesser:
        yield Hit("W202", ", ".join(lesser), len(lesser))
    for key, leaf in sorted(features.items()):
        if leaf.dtype == "float64":
            yield Hit("W203", key)
        stated = stated_dimensions(leaf.description)
        if stated and leaf.role == "tensor" and stated != (actual := _dimensions(leaf.shape)):
            yield Hit("W204", f"{key}: the text counts {stated}, the shape is {actual}")


def stated_dimensions(description: str) -> int:
    """Return how many dimensions a text such as "[7x joint angles, 2x gripper]" adds up to, 0 if it does not say."""
    return sum(int(count) for count in _TIMES.findall(description))


def _dimensions(shape: Sequence[int | None]) -> int:
    return math.prod(size for size in shape[1:] if size is not None)


def check_count(split: str, promised: int, counted: int) -> Iterator[Hit]:
    """Records found against dataset_info.json."""
    if promised != counted:
        yield Hit("E102", f"{split}: {counted} records, {promised} promised")


def check_cameras(cameras: Iterable[CameraSummary]) -> Iterator[Hit]:
    """Cameras that show nothing."""
    for camera in cameras:
        if camera.decoded and camera.blank == camera.decoded:
            yield Hit("W401", camera.key, camera.blank)


def check_numbers(numbers: Iterable[NumberSummary]) -> Iterator[Hit]:
    """Rewards and actions that say nothing."""
    for summary in numbers:
        silent = set(summary.minimum) == set(summary.maximum) == {0.0}
        if silent and summary.key == f"{STEPS}/reward":
            yield Hit("I306", count=summary.steps)
        if not is_action(summary.key) or summary.steps < 2:
            continue
        if silent:
            yield Hit("W503", summary.key)
        elif summary.constant:
            which = ", ".join(map(str, summary.constant))
            yield Hit("W502", f"{summary.key}: dimension {which}", len(summary.constant))


def check_language(language: Sequence[LanguageSummary]) -> Iterator[Hit]:
    """Whether there is something to listen to."""
    if not any(summary.distinct for summary in language):
        yield Hit("W602", "no text feature reads like an instruction" if not language else "all texts are empty")
        return
    for summary in language:
        episodes = sum(count for _, count in summary.per_episode)
        if summary.distinct == 1 and episodes > 1:
            yield Hit("W603", f"{summary.key}: {summary.frequent[0][0]!r}", summary.frequent[0][1])


def check_motion(motion: MotionSummary) -> Iterator[tuple[str, Hit]]:
    """Yield (episode id, hit) for jumps and for robots that stand still."""
    if motion.episodes and motion.still_episodes == motion.episodes:
        yield motion.still[0], Hit("W704", count=motion.episodes)
        return
    if motion.still_episodes:
        yield motion.still[0], Hit("I705", ", ".join(motion.still), motion.still_episodes)
    for stride in sorted(motion.longest, key=lambda stride: (stride.episode_id, stride.step)):
        if stride.length > JUMP * motion.median:
            yield stride.episode_id, Hit("W703", f"{stride.length / motion.median:.0f} times", step=stride.step)
