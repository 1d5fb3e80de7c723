"""A vision-language model of one's own that answers within this process: chat completions without a server.

It takes the requests that a server takes (`wire.request_body`) and answers in its format, so that cache, budget,
schema check, repair and provenance are the client's. Requests that wait at the same time are generated together.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.errors import CheckpointError, MissingLibraryError, RecordError
from embodied_cf.policies.config import DeviceName
from embodied_cf.policies.devices import device_of
from embodied_cf.policies.hf_base import DTYPES, fingerprint, needs_extra, readable
from embodied_cf.policies.quiet import quietly
from embodied_cf.vlm.options import LOCAL
from embodied_cf.vlm.question import Json
from embodied_cf.vlm.retry import Failure

_TOGETHER_S = 0.02
"""Seconds that a request waits for others to be generated with it."""


@dataclass(frozen=True)
class Chat:
    """A model that completes conversations, and how it reads and writes."""

    model: Any
    processor: Any
    ends: frozenset[int]
    """Tokens that end an answer."""


def label_of(folder: Path) -> str:
    """Return what cache and provenance call a model: its kind, and a hash of its weights and of how it is spoken to.

    It names no place, so that a model that was moved keeps its answers.
    """
    with readable(folder):
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
        sha = hashlib.sha256(fingerprint(folder).encode())
        for path in sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".txt", ".model")):
            sha.update(path.name.encode() + path.read_bytes())
        return f"{LOCAL}{kind}@{sha.hexdigest()[:16]}"


def load_chat(folder: Path, weights: Literal["fp32", "bf16"], device: torch.device) -> Chat:
    """Load a model and its processor, all from `folder`.

    Raises CheckpointError for files that are absent or broken and for models that cannot chat, MissingLibraryError.
    """
    with needs_extra():
        from transformers import AutoModelForImageTextToText
    processor = _load_processor(folder)
    with readable(folder), quietly():
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=DTYPES[weights], local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        model, found = loaded
        if found["missing_keys"]:  # transformers would draw them at random
            raise ValueError(f"no weights for {', '.join(sorted(found['missing_keys']))}")
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    processor.tokenizer.padding_side = "left"  # answers begin where prompts end
    ends = _ends(model, processor.tokenizer)
    settings = model.generation_config
    settings.update(do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None, max_length=None)
    settings.update(pad_token_id=processor.tokenizer.pad_token_id, eos_token_id=sorted(ends))
    return Chat(model.to(device).eval(), processor, ends)


def _load_processor(folder: Path) -> Any:
    with needs_extra():
        from transformers import AutoProcessor
    try:
        with readable(folder), needs_extra(), quietly():
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except (CheckpointError, MissingLibraryError) as error:
        if "requires `torchvision`" not in str(error):
            raise
        raise MissingLibraryError(
            "the processor of this model reads films, too (as do those of Qwen2.5-VL and SmolVLM)",
            where=folder,
            remedy="It needs torchvision, of the version that fits your torch: pip install torchvision.",
        ) from None
    if getattr(processor, "image_processor", None) is None or processor.chat_template is None:
        raise CheckpointError(
            "not a model that chats about images: no image processor or no chat template",
            where=folder,
            remedy="Name one that is tuned to follow instructions.",
        )
    return processor


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    told = model.generation_config.eos_token_id
    several = told if isinstance(told, list) else [told]
    return frozenset(token for token in (*several, tokenizer.eos_token_id) if token is not None)


@dataclass(frozen=True)
class _Asked:
    body: Json
    answer: "asyncio.Future[bytes | Failure]"


class LocalModel:
    """Answers chat completions greedily, `batch_size` at once. `load` is called when the first one is asked."""

    def __init__(self, load: Callable[[], Chat], batch_size: int = 8) -> None:
        self._load, self._batch_size = load, batch_size
        self._chat: Chat | None = None
        self._waiting: list[_Asked] = []
        self._work: asyncio.Task[None] | None = None

    @staticmethod
    def of(folder: Path, weights: Literal["fp32", "bf16"], device: DeviceName, batch_size: int) -> "LocalModel":
        """Return the model in a folder."""
        return LocalModel(lambda: load_chat(folder, weights, device_of(device)), batch_size)

    async def post(self, body: Json) -> bytes | Failure:
        """Answer one request, in the format of a server. Raises what loading the model raises."""
        asked = _Asked(body, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._answer_all())
        return await asked.answer

    async def close(self) -> None:
        """Answer nobody any more; what is being generated ends first."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _answer_all(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._batch_size:
                await asyncio.sleep(_TOGETHER_S)
            taken = self._take()
            try:
                replies = await asyncio.to_thread(self._complete, [asked.body for asked in taken])
            except Exception as error:  # whoever asked must hear of it, whatever it is
                for asked in taken:
                    if not asked.answer.done():
                        asked.answer.set_exception(error)
                continue
            for asked, reply in zip(taken, replies, strict=True):
                if not asked.answer.done():
                    asked.answer.set_result(reply)

    def _take(self) -> list[_Asked]:
        """Return a batch of requests that show as many images as the first; not every processor mixes them."""
        images = _count_images(self._waiting[0].body)
        alike = [asked for asked in self._waiting if _count_images(asked.body) == images][: self._batch_size]
        taken = {id(asked) for asked in alike}
        self._waiting = [asked for asked in self._waiting if id(asked) not in taken]
        return alike

    def _complete(self, bodies: Sequence[Json]) -> list[bytes | Failure]:
        if self._chat is None:
            self._chat = self._load()
        return complete(self._chat, bodies)


def complete(chat: Chat, bodies: Sequence[Json]) -> list[bytes | Failure]:
    """Return a response for each request. A batch that fails is halved: one bad request spoils no other.

    What is too large for the memory on its own, or what the model's processor refuses, is a Failure.
    """
    try:
        return list(_generate(chat, bodies))
    except (RecordError, ValueError, RuntimeError) as error:  # out of memory is a RuntimeError
        if len(bodies) == 1:
            told = " ".join(str(error).split())[:300]
            return [Failure("model", f"the model cannot answer this ({told})", passing=False)]
    half = len(bodies) // 2
    return complete(chat, bodies[:half]) + complete(chat, bodies[half:])


def _generate(chat: Chat, bodies: Sequence[Json]) -> list[bytes]:
    talks = [[_turn(message) for message in body["messages"]] for body in bodies]
    form = {"padding": True, "return_tensors": "pt"}
    inputs = chat.processor.apply_chat_template(
        talks, add_generation_prompt=True, tokenize=True, return_dict=True, processor_kwargs=form
    ).to(chat.model.device, chat.model.dtype)
    most = int(bodies[0]["max_tokens"])
    with torch.inference_mode():
        rows = chat.model.generate(**inputs, max_new_tokens=most)[:, inputs["input_ids"].shape[1] :].tolist()
    asked = inputs["attention_mask"].sum(1).tolist()
    return [_response(chat, row, tokens) for row, tokens in zip(rows, asked, strict=True)]


def _response(chat: Chat, row: list[int], asked: int) -> bytes:
    """Return a completion in the format of a server; a row without an end was cut off."""
    end = next((at for at, token in enumerate(row) if token in chat.ends), None)
    text = chat.processor.decode(row[:end], skip_special_tokens=True)
    choice = {"message": {"content": text}, "finish_reason": "length" if end is None else "stop"}
    usage = {"prompt_tokens": asked, "completion_tokens": len(row) if end is None else end + 1}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def _turn(message: Json) -> dict[str, Any]:
    """Return a message as chat templates have it: parts of text, and images as arrays."""
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(map(_part, content))
    return {"role": message["role"], "content": parts}


def _part(part: Json) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    encoded = base64.b64decode(part["image_url"]["url"].partition("base64,")[2])
    return {"type": "image", "image": EncodedImages([encoded]).decode(0)}


def _count_images(body: Json) -> int:
    return sum(part["type"] == "image_url" for message in body["messages"] if not isinstance(message["content"], str)
               for part in message["content"])  # fmt: skip
