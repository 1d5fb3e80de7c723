"""How good an explanation of an episode is."""

import numpy as np
from jaxtyping import Float64

from embodied_cf.explain.episode.alternatives import COMMANDS, SecondBest, at_the_wheel, command_of, distance
from embodied_cf.explain.episode.decisive import EXPERT, OPTIONS, Attribution, Search
from embodied_cf.explain.episode.replay import Branches
from embodied_cf.explain.measure_table import Measures


def episode_measures(search: Search, told: Attribution, corrected: Branches | None, second: SecondBest) -> Measures:
    """Measure an explanation; `corrected` is its correction under the episode's own chance."""
    found, recording, cost = told.decisive, search.recording, float(search.branches)
    if found is None or corrected is None:
        return Measures("episode", None, None, None, None, None, told.placebo, None, None, None, cost)
    steps = range(found.decision, found.decision + found.length)
    done = np.concatenate([recording.done_at(at) for at in steps])
    foreseen, blindly, stable = _readers(search, told, found.decision)
    return Measures(
        kind="episode",
        validity=found.averts if search.draws > 1 else None,
        proximity=float(distance(corrected.first[0], done)),
        sparsity=min(found.length, recording.decisions - found.decision) / recording.decisions,
        plausibility=_plausibility(second, found.decision, corrected, recording.execute),
        diversity=_spread(told, found.decision, recording.execute) if found.length == 1 else None,
        placebo=told.placebo,
        stability=stable if found.length == 1 else None,
        simulatability=foreseen,
        blind_reader=blindly,
        cost=cost,
    )


def _plausibility(second: SecondBest, decision: int, corrected: Branches, periods: int) -> float | None:
    """Return the share of the policy's draws that do the command that the corrected actions amount to.

    None if they amount to none, and for a policy that draws nothing.
    """
    way, drawn = command_of(corrected.first[0][:periods]), second.ways.get(decision, ())
    return drawn.count(way) / len(drawn) if way and drawn else None


def _spread(told: Attribution, decision: int, periods: int) -> float | None:
    names = [name for name in told.corrections_at(decision) if name in COMMANDS]
    commands = [at_the_wheel(name, periods) for name in names]
    pairs = [float(distance(one, other)) for at, one in enumerate(commands) for other in commands[:at]]
    return sum(pairs) / len(pairs) if pairs else None


def _readers(search: Search, told: Attribution, decision: int) -> tuple[float | None, float | None, float | None]:
    """Return how often two readers foresee what the expert's action at each decision does under other chance, and the
    share of other chance under which it helps at the decision, or next to it.

    One reader is told what it does under the episode's own chance, the other what happens most often there.
    """
    others = search.draws - 1
    if not others:
        return None, None, None
    own = told.averted[OPTIONS.index(EXPERT)]
    share: Float64[np.ndarray, " d"] = (told.necessity * search.draws - own) / others
    usual = np.full(len(share), own.mean() > 0.5)
    foreseen, blindly = (float(np.where(guess, share, 1 - share).mean()) for guess in (own, usual))
    return foreseen, blindly, float(share[max(decision - 1, 0) : decision + 2].max())
