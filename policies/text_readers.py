"""Which reader of instructions a card names."""

from embodied_cf.policies.config import ModelCard, NavVlaTinyConfig
from embodied_cf.policies.phrases import MiniLmPhraseEncoder
from embodied_cf.policies.text import CommandEncoder, MiniLmEncoder, MiniLmWordEncoder, TextEncoder, WordEncoder


def build_text_encoder(card: ModelCard) -> TextEncoder:
    """Return the reader that the card names."""
    config = card.model
    assert isinstance(config, NavVlaTinyConfig)
    match config.text:
        case "words":
            return WordEncoder(card.vocabulary, config.text_width)
        case "minilm":
            return MiniLmEncoder(config.text_width)
        case "minilm-words":
            return MiniLmWordEncoder(config.text_width)
        case "minilm-phrases":
            return MiniLmPhraseEncoder(config.text_width, card.vocabulary, card.names)
        case "commands":
            return CommandEncoder(card.embodiment.kind, config.text_width)
