"""`nav-vla-tiny`: frames and a sentence to an action chunk, fast on one core."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.policies.config import ModelCard, NavVlaTinyConfig
from embodied_cf.policies.text_readers import build_text_encoder
from embodied_cf.policies.vision import PretrainedEye, build_eye
from embodied_cf.policies.vla import Frames, Vla


class NavVlaTiny(Vla):
    """The network: fewer than 2 M trained parameters."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        config = card.model
        assert isinstance(config, NavVlaTinyConfig)
        self.text = build_text_encoder(card)
        self.eye = build_eye(config, self.text)
        self.trunk = _build_trunk(config, self.eye.places, card.embodiment.chunk_length)
        self.add_outputs(self.trunk.width)

    deciding = ("trunk", "stop", "head")

    @property
    def needs_odometry(self) -> bool:
        """Whether it remembers things by where they were."""
        return isinstance(self.eye, PretrainedEye) and self.card.model.history > 1

    def perceive(
        self,
        image: Frames,
        instruction: tuple[str, ...],
        odometry: Float[Tensor, "b t1 3"] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return image tokens (b, n, d) and the sentence vector (b, s)."""
        said = self.text(instruction)
        return self.eye(image, said, odometry), said.vector

    def tokens(self, *perceived: Tensor) -> Float[Tensor, "b k d"]:
        """Return what the trunk makes of it."""
        return self.trunk(*perceived)

    def understands(self, instruction: str) -> bool:
        """Whether its reader can read this instruction."""
        return self.text.understands(instruction)


class Trunk(nn.Module):
    """From image tokens and the sentence vector to a token for each chunk row."""

    width: int
    """Of its tokens."""

    def forward(self, image: Float[Tensor, "b n d"], text: Float[Tensor, "b s"]) -> Float[Tensor, "b k w"]:
        """Return the tokens."""
        raise NotImplementedError


class Looking(Trunk):
    """One query per chunk row looks at image tokens, of which there may be many."""

    def __init__(self, config: NavVlaTinyConfig, rows: int) -> None:
        super().__init__()
        self.width = config.width
        self.said = nn.Linear(config.text_width, config.width)
        self.query = nn.Parameter(torch.randn(rows, config.width))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                config.width, config.heads, 2 * config.width, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, image: Float[Tensor, "b n d"], text: Float[Tensor, "b s"]) -> Float[Tensor, "b k d"]:
        """Return the queries after they have looked."""
        tokens = self.query + self.said(text)[:, None]  # (k, d) + (b, 1, d) -> (b, k, d)
        for layer in self.layers:
            tokens = layer(tokens, image)
        return self.norm(tokens)


class Flat(Trunk):
    """Layers that see the image tokens all at once, where they are few: a tenth of the work of `Looking`."""

    def __init__(self, config: NavVlaTinyConfig, places: int, rows: int) -> None:
        super().__init__()
        self.rows, self.width = rows, max(config.width // 4, 1)
        self.said = nn.Linear(config.text_width, config.width)
        sizes = [(places + 1) * config.width, *[2 * config.width] * config.layers]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], rows * self.width)

    def forward(self, image: Float[Tensor, "b n d"], text: Float[Tensor, "b s"]) -> Float[Tensor, "b k w"]:
        """Return the tokens."""
        x = torch.cat([image.flatten(1), self.said(text)], dim=1)
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.last(x).unflatten(1, (self.rows, self.width))


def _build_trunk(config: NavVlaTinyConfig, places: int, rows: int) -> Trunk:
    return Flat(config, places, rows) if config.eye == "pretrained" else Looking(config, rows)
