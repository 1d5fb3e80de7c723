"""Results as self-contained HTML pages. Every text is escaped; nothing is fetched."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2
import numpy as np
from jaxtyping import Real

from embodied_cf.crm.draw import Mark, curve, intervals, weight_histogram

Weights = Real[np.ndarray, " n"]
_NORMAL = 1.96


def evaluation(result: dict[str, Any], weight: Weights) -> str:
    """Return the page of `crm evaluate`."""
    told = result["interval"]
    name = f"{told['method']} interval" + ("" if told["holds"] else " (no guarantee)")
    marks = [_approximate(row) for row in result["estimates"]]
    marks.append(Mark(name, float("nan"), told["lower"], told["upper"], "proven" if told["holds"] else ""))
    logged = sum(row["mean"] * row["decisions"] for row in result["loggers"]) / result["decisions"]
    return _render(
        "evaluate.html.j2",
        result,
        values=intervals(marks, reference=logged),
        histogram=weight_histogram(weight),
        deployments=_deployments(result),
        logged=logged,
    )


def fitted(result: dict[str, Any], weight: Weights) -> str:
    """Return the page of `crm fit`."""
    marks = [
        Mark(f"{row['setting']:g}", row["held_out_reward"], row["held_out_reward"], row["held_out_reward"])
        for row in result["tried"]
    ]
    return _render("fit.html.j2", result, tried=intervals(marks), histogram=weight_histogram(weight))


def improvement(result: dict[str, Any], weights: Sequence[Weights]) -> str:
    """Return the page of `crm improve`."""
    tested = [
        Mark(f"candidate {i + 1}", test["gain"], test["lower"], float("inf"), "proven")
        for i, test in enumerate(result["tested"])
    ]
    return _render(
        "improve.html.j2",
        result,
        gains=intervals(tested, reference=0.0),
        histograms=[weight_histogram(weight) for weight in weights],
        deployments=_deployments(result),
    )


def _deployments(result: dict[str, Any]) -> str:
    return curve([Mark(row["logger"], row["mean"], row["lower"], row["upper"]) for row in result["loggers"]])


def _approximate(row: dict[str, Any]) -> Mark:
    half = np.inf if row["standard_error"] is None else _NORMAL * row["standard_error"]
    return Mark(row["estimator"], row["value"], row["value"] - half, row["value"] + half)


def _render(template: str, result: dict[str, Any], **values: object) -> str:
    return _environment().get_template(template).render(result=result, **values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("embodied_cf.crm", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
