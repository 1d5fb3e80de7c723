"""The report of an evaluation: one page without any reference to the network, for one policy or several."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from embodied_cf import __version__
from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.charts import Bar, Group, Part, grouped_bars, stacked_bar
from embodied_cf.evaluate.record import Record
from embodied_cf.evaluate.report_cases import Case, Gallery, colour_of, parted, some
from embodied_cf.evaluate.summary import CHANCE, ENDINGS, SIGHTS, Run, compare, summarise
from embodied_cf.relabel.report_page import number, percent

PARTED, SHOWN = 3, 3
"""Episodes that are shown where policies part ways; successes, and as many failures, of each policy."""
_SIGHT_NAMES = {"nearest": "nearest thing", "far": "far", "unseen": "out of view"}
_ENDING_STYLES = {"success": "good", "wrong stop": "stopped", "collision": "bad", "time": "late"}
_GREY = "#8a929b"


def write_report(
    path: Path,
    policies: Mapping[str, Sequence[Record]],
    people: tuple[int, int] = (0, 2),
    frames: bool = True,
    seed: int = 0,
) -> None:
    """Write the page about the records of each policy, by its name; the first is compared with each other.

    `people` as the episodes were evaluated with. `frames`: whether frames of the robot's camera may be shown. `seed`
    draws the episodes that are shown. Raises UsageError for no policy, or one without a plain evaluation.
    """
    if not policies:
        raise UsageError("no policy to report on")
    runs = {name: Run(records) for name, records in policies.items()}
    numbers = {name: summarise(records, generator(seed, "report", name)) for name, records in policies.items()}
    first, *others = policies
    gains = {name: compare(policies[first], policies[name]) for name in others}
    gallery, rng = Gallery(runs, people, frames), generator(seed, "report")
    page = _environment().get_template("report.html.j2").render(
        numbers=numbers, gains=gains, first=first, colours={name: colour_of(runs, name) for name in runs},
        sights=_by_sight(numbers, runs), controls=_by_control(numbers, runs),
        endings={name: _endings(numbers[name]["all"]) for name in numbers}, styles=_ENDING_STYLES,
        tables={name: _agreement(runs[first], runs[name]) for name in others},
        cells=list(dict.fromkeys(cell for each in numbers.values() for cell in each["cells"])),
        means=_means(numbers),
        parted={name: _parted(gallery, first, name, rng) for name in others},
        shown={name: _shown(gallery, name, rng) for name in runs}, frames=frames, version=__version__,
    )  # fmt: skip
    write_text(path, page)


def _parted(gallery: Gallery, first: str, second: str, rng: np.random.Generator) -> list[Case]:
    episodes = parted(gallery.runs[first], gallery.runs[second], rng, PARTED)
    return [gallery.case(episode, (first, second), ("none", "shuffled")) for episode in episodes]


def _shown(gallery: Gallery, name: str, rng: np.random.Generator) -> list[tuple[str, list[Case]]]:
    """Return some successes and some failures, each with a title."""
    run, rows = gallery.runs[name], []
    for title, success in (("carried out", True), ("failed", False)):
        episodes = some(run, lambda record, want=success: record.success == want, rng, SHOWN)  # type: ignore[misc]
        rows.append((title, [gallery.case(episode, (name,)) for episode in episodes]))
    return rows


def _agreement(first: Run, second: Run) -> dict[str, int]:
    """Count shared episodes by who succeeds."""
    pairs = [(first.plain[one].success, second.plain[one].success) for one in first.plain if one in second.plain]
    names = {(True, False): "only", (False, True): "other", (True, True): "both", (False, False): "neither"}
    return {name: pairs.count(pair) for pair, name in names.items()}


def _by_sight(numbers: Mapping[str, Any], runs: Mapping[str, Run]) -> Markup:
    groups = [Group("all", _bars(runs, {name: each["all"]["success"] for name, each in numbers.items()}))]
    for sight in SIGHTS:
        found = {name: each["all"]["by_sight"].get(sight) for name, each in numbers.items()}
        count = max((row["n"] for row in found.values() if row), default=0)
        if count:
            groups.append(Group(_SIGHT_NAMES[sight], _bars(runs, found), f"{count} episodes"))
    return grouped_bars(groups, "Success by where the thing named first is at the start")


def _by_control(numbers: Mapping[str, Any], runs: Mapping[str, Run]) -> Markup | None:
    """Draw success under each control; chance is one grey bar, of the policy that has it."""
    names = list(dict.fromkeys(name for each in numbers.values() for name in each["all"]["controls"]))
    groups = [Group("none", _bars(runs, {name: each["all"]["success"] for name, each in numbers.items()}))]
    for control in (name for name in names if name != CHANCE):
        rows = {name: each["all"]["controls"].get(control) for name, each in numbers.items()}
        groups.append(Group(control, _bars(runs, {name: row and row["success"] for name, row in rows.items()})))
    chances = [each["all"]["controls"].get(CHANCE) for each in numbers.values()]
    for chance in list(filter(None, chances))[:1]:
        groups.append(Group(CHANCE, (_bar("expert told otherwise", chance["success"], _GREY),)))
    return grouped_bars(groups, "Success by control") if len(groups) > 1 else None


def _bars(runs: Mapping[str, Run], rates: Mapping[str, Any]) -> tuple[Bar, ...]:
    return tuple(_bar(name, row, colour_of(runs, name)) for name, row in rates.items() if row)


def _bar(name: str, row: Mapping[str, Any], colour: str) -> Bar:
    low, high = row["ci95"]
    return Bar(name, row["rate"], low, high, colour)


def _endings(block: Mapping[str, Any]) -> Markup:
    parts = [Part(name, block["endings"][name], _ENDING_STYLES[name]) for name in ENDINGS]
    return stacked_bar(parts, "How episodes ended")


def _means(numbers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the mean of every measure by policy."""
    names = dict.fromkeys(name for each in numbers.values() for name in each["all"]["means"])
    return {name: {who: each["all"]["means"].get(name) for who, each in numbers.items()} for name in names}


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with its sign.

    >>> points(0.2712), points(-0.05)
    ('+27.1', '−5.0')
    """
    return f"{100 * share:+.1f}".replace("-", "−")


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("embodied_cf.evaluate", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent, "points": points}
    return environment
