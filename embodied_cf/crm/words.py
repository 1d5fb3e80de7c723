"""What an improvement run knows and what it does not, in plain words."""

from embodied_cf.crm.improve import Improvement, Tested


def verdict(found: Improvement) -> str:
    """Return the decision in one sentence."""
    if not found.guaranteed:
        return "Keep the baseline: propensities were estimated, so no test on these logs can promise anything."
    if found.chosen is None:
        return "Keep the baseline: no candidate was shown to be better."
    return (
        f"Deploy the candidate: it is better than the baseline by at least {found.chosen.lower:.4g} per decision, "
        f"unless an event of probability {found.delta:g} happened."
    )


def known(found: Improvement) -> list[str]:
    """Return what the logs show."""
    lower, upper = found.baseline_value
    told = [
        f"{found.train} decisions made the candidates; {found.safety}, of {found.episodes} episodes, were kept apart "
        "for the test and never used in learning.",
        f"The baseline's mean reward per decision lies between {lower:.4g} and {upper:.4g} "
        f"(confidence {1 - found.delta:.0%}).",
    ]
    return told + [_told(number + 1, test, found) for number, test in enumerate(found.tested)]


def _told(number: int, test: Tested, found: Improvement) -> str:
    cells = test.candidate.covered
    together = f" for all {len(found.tested)} tested together" if len(found.tested) > 1 else ""
    fallback = f"; it acts in {sum(cells)} of {len(cells)} kinds of context, the baseline in the rest"
    return (
        f"Candidate {number}: estimated gain {test.gain:+.4g}, at least {test.lower:+.4g} with confidence "
        f"{1 - found.delta:.0%}{together}{fallback}."
    )


def unknown(found: Improvement) -> list[str]:
    """Return what the logs do not show."""
    told = [
        "Whether the world stays as it was when the logs were made: a new place, season or robot voids the bound.",
        "What later decisions would have met: each decision is judged as if it did not change the contexts after it.",
        "Anything that the reward does not measure.",
    ]
    if found.chosen is None:
        told.insert(0, "Whether the candidates are worse: not shown to be better is not shown to be worse.")
    for number, test in enumerate(found.tested):
        told += [f"Candidate {number + 1}: {problem}." for problem in test.diagnostics.problems]
    return told
