"""The explanation of a navigation policy as one self-contained page: ways before and after, then where it changed."""

from dataclasses import asdict
from pathlib import Path

from embodied_cf.datasets.files import write_text
from embodied_cf.explain.navigation.change import Place
from embodied_cf.explain.navigation.film import film_pairs
from embodied_cf.explain.navigation.policy import NavPolicy
from embodied_cf.explain.policy.explanation import PolicyExplanation
from embodied_cf.explain.policy.measures import policy_measures
from embodied_cf.explain.policy.page import MEANING
from embodied_cf.explain.rollout import MakeEnvs
from embodied_cf.explain.template import template

_WIDE = 240
"""Of a bar, in SVG units."""


def write_nav_page(
    told: PolicyExplanation,
    original: NavPolicy,
    changed: NavPolicy,
    places: tuple[Place, ...],
    sentences: list[str],
    make: MakeEnvs,
    name: str,
    measure: str,
    path: Path,
    seed: int,
) -> None:
    """Write the page."""
    better = told.target > told.before.stochastic.mean
    films = film_pairs(original, changed, make, seed, better=better)
    most = max((place.kl for place in places), default=0.0) or 1.0
    questions = {question: [(place, _WIDE * place.kl / most) for place in places if place.question == question]
                 for question in dict.fromkeys(place.question for place in places)}  # fmt: skip
    page = template("nav_policy.html.j2").render(
        told=told, name=name, measure=measure, sentences=sentences, films=films, questions=questions, wide=_WIDE,
        meaning=MEANING, proximity=asdict(told.proximity), measures=policy_measures(told, original).rows(),
    )  # fmt: skip
    write_text(path, page)
