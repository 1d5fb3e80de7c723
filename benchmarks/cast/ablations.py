"""What each part of `embodied-cf` is worth: arms that lack it, or have something else instead.

Two more are not arms but other cells of `embodied-cf`: fewer logs (`cells.ablated`) and longer training (the budgets).
"""

from benchmarks.cast.arm import BELIEVED, COMMANDS, LABELLED, SINGLE, SPARSE, UNTURNED, Arm, Share, mix
from embodied_cf.evaluate.demo import OURS


def _without(name: str, what: str, shares: tuple[Share, ...] = (), *settings: str, driver: str = "") -> Arm:
    trained_as = OURS if driver else ""
    return Arm(name, what, shares or mix(LABELLED), settings, driver, trained_as, ablation=True)


ABLATIONS = (
    _without("one-a-frame", "one counterfactual row for each frame, not up to eight", mix(SINGLE)),
    _without("every-8th-frame", "counterfactual rows at every eighth frame only", mix(SPARSE)),
    _without("commands", "synthesizer `primitive`: no goals, atomic commands only", mix(COMMANDS)),
    _without("unverified", "what the verifier turns down is kept", mix(BELIEVED)),
    _without("score-0.9", "only labels with a score of at least 0.9", mix(LABELLED, min_score=0.9)),
    _without("no-look-round", "nothing is told of what is out of view", mix(UNTURNED)),
    _without("with-done", "a quarter of the samples is what was done", mix(LABELLED, shares=(1, 0, 3))),
    _without("one-frame", "no memory", (), "model.history=1"),
    _without("words-only", "new wordings and names are not read as known ones", (), "model.text=minilm-words"),
    _without("no-dropout", "instructions are always told in training", (), "loss.instruction_dropout=0"),
    _without("contrastive", "and told from other instructions (weight 0.1)", (), "loss.contrastive=0.1"),
    _without("preference", "and preferred to another's chunk (weight 0.1)", (), "loss.preference=0.1"),
    _without("guided", "driven with guidance 1.5", driver="guided"),
)
