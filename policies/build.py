"""From what a configuration names to a network."""

from collections.abc import Sequence

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.policies.config import HfVlaConfig, ModelCard, ModelConfig, NavVlaTinyConfig
from embodied_cf.policies.names import names_of
from embodied_cf.policies.nav_vla_tiny import NavVlaTiny
from embodied_cf.policies.text import vocabulary_of
from embodied_cf.policies.vla import Vla
from embodied_cf.policies.wordings import wordings_of


def new_card(config: ModelConfig, body: Embodiment, instructions: Sequence[str]) -> ModelCard:
    """Return the card of a new model, for data with these instructions."""
    match config:
        case NavVlaTinyConfig(text="words"):
            return ModelCard(config, body, vocabulary=vocabulary_of(instructions))
        case NavVlaTinyConfig(text="minilm-phrases"):
            return ModelCard(config, body, vocabulary=wordings_of(instructions), names=names_of(instructions))
        case NavVlaTinyConfig():
            return ModelCard(config, body)
        case HfVlaConfig():
            from embodied_cf.policies.hf_base import find_base, fingerprint

            return ModelCard(config, body, base=fingerprint(find_base(config.base)))


def build_model(card: ModelCard) -> Vla:
    """Return the network that the card describes, not yet trained."""
    match card.model:
        case NavVlaTinyConfig():
            return NavVlaTiny(card)
        case HfVlaConfig():
            from embodied_cf.policies.hf_vla import HfVla

            return HfVla(card)
