"""An explanation of an episode in a few sentences."""

from embodied_cf.envs.state import PERIOD_S
from embodied_cf.explain.episode.alternatives import in_words
from embodied_cf.explain.episode.decisive import EXPERT, Correction
from embodied_cf.explain.episode.explanation import EpisodeExplanation, failure

_COMMAND = {
    "forward": "gone straight on", "turn_left": "turned left", "turn_right": "turned right",
    "adjust_left": "borne left", "adjust_right": "borne right", "stop": "stood still", EXPERT: "done as the expert",
}  # fmt: skip
_DISTURBED_M = 0.25


def sentences(told: EpisodeExplanation) -> tuple[str, ...]:
    """Return what happened, what decided it, until when it could be saved, and whom the robot disturbed."""
    recording = told.recording
    end = seconds(told, recording.decisions)
    text = (f"Told “{recording.task.text}”, the robot {failure(recording)} after {end:.1f} s.", *_decisive(told))
    return (*text, *_second(told), *_rescue(told), *_disturbed(told))


def seconds(told: EpisodeExplanation, decision: int) -> float:
    """Return when a decision begins, s."""
    return float(told.recording.moments.clock[decision]) * PERIOD_S


def _decisive(told: EpisodeExplanation) -> tuple[str, ...]:
    found = told.attribution.decisive
    if found is None:
        return ("No stretch of other decisions averts it, not even the expert's: afterwards it fails again.",)
    did = in_words(told.recording.done_at(found.decision))
    where = f"decision {found.decision}, at {seconds(told, found.decision):.1f} s"
    helped = _helped(found, told.draws)
    if found.length > 1:
        return (
            f"No single decision decides it. The earliest and shortest correction is {found.length} decisions long: "
            f"had the expert driven them, beginning with {where}, it would have succeeded{helped}.",
        )
    return (
        f"What decided it was {where}, where it had {did}. Had it {_COMMAND[found.option]} there, for that decision "
        f"only, and gone on as it does, it would have succeeded{helped}.",
    )


def _helped(found: Correction, others: int) -> str:
    if not others:
        return "; under other chance that was not tried (--draws)"
    again = f"{round(found.unchanged * others)} if it does the same again"
    return f", and under other chance in {round(found.averts * others)} of {others} draws ({again})"


def _second(told: EpisodeExplanation) -> tuple[str, ...]:
    rows = told.averted_by_second.nonzero()[0]
    if not len(rows):
        return ()
    row = int(rows[told.second.share[rows].argmax()])
    at, did = seconds(told, int(told.second.decision[row])), in_words(told.second.actions[row])
    return (
        f"Left to its own second choice it might have succeeded: had it {did} at {at:.1f} s, as it does in "
        f"{told.second.share[row]:.0%} of its draws, it would have.",
    )


def _rescue(told: EpisodeExplanation) -> tuple[str, ...]:
    last = told.attribution.no_return
    if last is None:
        return (
            "Even the expert fails from the start: the task is harder than it should be, or chance was against it.",
        )
    if last + 1 >= told.recording.decisions:
        return ("The expert could have saved it until the very end.",)
    return (f"The expert could have saved it until {seconds(told, last):.1f} s, and not after.",)


def _disturbed(told: EpisodeExplanation) -> tuple[str, ...]:
    if not told.disturbance.size or told.disturbance.max() < _DISTURBED_M**2:
        return ()
    decision = int(told.disturbance.max(axis=1).argmax())
    pushed = float(told.disturbance[decision].max()) ** 0.5
    return (
        f"At {seconds(told, decision):.1f} s it pushed a person {pushed:.1f} m off the way they would have walked.",
    )
