"""Errors of what is to be explained."""

from embodied_cf.errors import EmbodiedError


class PolicyError(EmbodiedError):
    """A policy cannot be read or explained: unknown format, no log-probabilities, another environment's shapes."""


class ReplayError(EmbodiedError):
    """An episode cannot be replayed: the environment does not repeat itself, or there is nothing to explain in it."""
