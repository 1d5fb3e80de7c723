"""`nav-vla-tiny`: frames and a sentence to an action chunk, fast on one core.

FiLM-ed convolutions give image tokens; one query per chunk row looks at them and at the sentence.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from embodied_cf.policies.config import ModelCard, NavVlaTinyConfig
from embodied_cf.policies.text import build_text_encoder
from embodied_cf.policies.vision import build_eye
from embodied_cf.policies.vla import Vla


class NavVlaTiny(Vla):
    """The network: fewer than 2 M trained parameters."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        config = card.model
        assert isinstance(config, NavVlaTinyConfig)
        self.text = build_text_encoder(card)
        self.eye = build_eye(config)
        self.said = nn.Linear(config.text_width, config.width)
        self.query = nn.Parameter(torch.randn(card.embodiment.chunk_length, config.width))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                config.width, config.heads, 2 * config.width, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.add_outputs(config.width)

    deciding = ("said", "layers", "norm", "stop", "head")

    def perceive(self, image: UInt8[Tensor, "b t h w 3"], instruction: tuple[str, ...]) -> tuple[Tensor, ...]:
        """Return image tokens (b, n, d) and the sentence vector (b, s)."""
        text = self.text(instruction)
        return self.eye(image, text), text

    def tokens(self, *perceived: Tensor) -> Float[Tensor, "b k d"]:
        """Let the action queries look at the image tokens."""
        memory, text = perceived
        tokens = self.query + self.said(text)[:, None]  # (k, d) + (b, 1, d) -> (b, k, d)
        for layer in self.layers:
            tokens = layer(tokens, memory)
        return self.norm(tokens)

    def understands(self, instruction: str) -> bool:
        """Whether its reader can read this instruction."""
        return self.text.understands(instruction)
