"""Errors of counterfactual questions that have no answer."""

from embodied_cf.errors import EmbodiedError


class UnreachableError(EmbodiedError):
    """No policy near the given one has the asked return; the message says the best that was reached."""
