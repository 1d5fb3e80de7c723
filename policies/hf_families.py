"""What differs between families of vision-language models: where frames stand in the prompt, how pixels go in."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from embodied_cf.errors import UsageError

Pixels = Float[Tensor, "b t 3 s s"]
Ids = Int64[Tensor, "b n"]


@runtime_checkable
class Family(Protocol):
    """How one family reads frames."""

    @property
    def side(self) -> int:
        """S, pixels a side of what it looks at."""
        ...

    def prompt(self, image: str, frames: int) -> tuple[str, str]:
        """Return what stands before and after the instruction; `image` is the token that a frame's tokens replace."""
        ...

    def inputs(self, pixels: Pixels, is_image: Ids) -> dict[str, Tensor]:
        """Return what the model is given besides tokens; `is_image` is 1 where a frame's tokens stand."""
        ...


@dataclass(frozen=True)
class PaliGemma:
    """PaliGemma and PaliGemma 2 (arXiv 2407.07726, 2412.03555): frames, then text; every token sees every other."""

    side: int
    tokens: int

    def prompt(self, image: str, frames: int) -> tuple[str, str]:
        """Return `<image>… <bos>` and the line's end."""
        return image * self.tokens * frames + "<bos>", "\n"

    def inputs(self, pixels: Pixels, is_image: Ids) -> dict[str, Tensor]:
        """Return frames one after the other; token types 0 are a prefix, in which attention has no direction."""
        return {"pixel_values": pixels.flatten(0, 1), "token_type_ids": torch.zeros_like(is_image)}


@dataclass(frozen=True)
class SmolVlm:
    """SmolVLM (arXiv 2504.05299) and Idefics3 (arXiv 2408.12637), each frame seen whole, without tiles."""

    side: int
    tokens: int

    def prompt(self, image: str, frames: int) -> tuple[str, str]:
        """Return a user's turn with the frames, and the beginning of the answer."""
        frame = f"<fake_token_around_image><global-img>{image * self.tokens}<fake_token_around_image>"
        return f"<|im_start|>User:{frame * frames}", "<end_of_utterance>\nAssistant:"

    def inputs(self, pixels: Pixels, is_image: Ids) -> dict[str, Tensor]:
        """Return the frames of each sample."""
        del is_image
        return {"pixel_values": pixels}


@dataclass(frozen=True)
class QwenVl:
    """Qwen2.5-VL (arXiv 2502.13923): frames as still images, cut into patches of patches."""

    side: int
    patch: int
    merge: int
    """Patches a side that become one token."""
    repeat: int
    """Times a still image is shown: the model looks at so many frames of a film at once."""

    def prompt(self, image: str, frames: int) -> tuple[str, str]:
        """Return a user's turn with the frames, and the beginning of the answer."""
        tokens = (self.side // (self.patch * self.merge)) ** 2
        frame = f"<|vision_start|>{image * tokens}<|vision_end|>"
        return f"<|im_start|>user\n{frame * frames}", "<|im_end|>\n<|im_start|>assistant\n"

    def inputs(self, pixels: Pixels, is_image: Ids) -> dict[str, Tensor]:
        """Return patches, one a row, and how many each frame has; `is_image` places tokens in space."""
        frames, patches = pixels.flatten(0, 1), self.side // self.patch
        grid = torch.tensor([[1, patches, patches]], device=pixels.device).expand(len(frames), -1)
        return {"pixel_values": self.patches(frames), "image_grid_thw": grid, "mm_token_type_ids": is_image}

    def patches(self, frames: Float[Tensor, "f 3 s s"]) -> Float[Tensor, "n p"]:
        """Return the patches of frames; those that become one token follow one another."""
        block = self.side // (self.patch * self.merge)
        cut = frames.unflatten(3, (block, self.merge, self.patch)).unflatten(2, (block, self.merge, self.patch))
        # (f, c, i, m, p, j, n, q) -> (f, i, j, m, n, c, p, q): blocks i j, patches m n in one, pixels p q
        cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7).flatten(0, 4)
        return cut[:, :, None].expand(-1, -1, self.repeat, -1, -1).flatten(1)


def family_of(config: Any, size: int) -> Family:
    """Return how a model of this (transformers) configuration reads frames of `size` pixels a side.

    Raises UsageError for families that are not known.
    """
    eye = config.vision_config
    match config.model_type:
        case "paligemma":
            return PaliGemma(eye.image_size, (eye.image_size // eye.patch_size) ** 2)
        case "smolvlm" | "idefics3":
            return SmolVlm(eye.image_size, (eye.image_size // eye.patch_size) ** 2 // config.scale_factor**2)
        case "qwen2_5_vl":
            block = eye.patch_size * eye.spatial_merge_size
            return QwenVl(-(-size // block) * block, eye.patch_size, eye.spatial_merge_size, eye.temporal_patch_size)
    raise UsageError(
        f"no way to act through a model of type {config.model_type!r}",
        where="model.base",
        remedy="Use PaliGemma, SmolVLM, Idefics3 or Qwen2.5-VL.",
    )
