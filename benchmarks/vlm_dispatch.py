"""How close the VLM client comes to ideal dispatch, and to a bare `openai` loop.

    python benchmarks/vlm_dispatch.py --json vlm_dispatch.json

A server process on loopback answers each request after a fixed latency. 64 requests are under way at a time,
each with one 96×96 JPEG. Ideal is N / 64 · latency. The bare loop is `AsyncOpenAI.chat.completions.create`
under a semaphore, with the same messages, and nothing else: no schema check, cache, budget or accounting.
Both run in this process, in alternating order; medians over the rounds.
"""

import argparse
import asyncio
import base64
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import openai

from embodied_cf.vlm.client import VlmClient, ask_all
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Prompt, Question

CONCURRENCY = 64
SCHEMA = {
    "type": "object",
    "properties": {"description": {"type": "string"}},
    "required": ["description"],
    "additionalProperties": False,
}
PROMPT = Prompt("describe", "Describe frame {{ number }}.", SCHEMA)


async def serve(latency_s: float) -> None:
    """Answer chat completions after `latency_s`; as little work as HTTP allows."""
    message = {"role": "assistant", "content": '{"description": "the robot drives past a red chair"}'}
    usage = {"prompt_tokens": 300, "completion_tokens": 12, "total_tokens": 312}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    completion = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": choices,
        "usage": usage,
    }
    body = json.dumps(completion).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
                await reader.readexactly(length)
                await asyncio.sleep(latency_s)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def questions(count: int, run: int) -> list[Question]:
    """Return different questions, each with an image of its own."""
    noise = np.random.Generator(np.random.PCG64(run))
    found = []
    for number in range(count):
        coarse = noise.integers(0, 255, (12, 12, 3), np.uint8)
        image = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
        found.append(Question(PROMPT, {"number": number}, (cv2.imencode(".jpg", image)[1].tobytes(),)))
    return found


async def ours(base_url: str, asked: Sequence[Question]) -> float:
    """Return the seconds that VlmClient takes, with cache, schema check and cost accounting on."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache.sqlite"
        options = ClientOptions("m", base_url, cache=cache, concurrency=CONCURRENCY)
        async with VlmClient(options) as client:
            start = time.perf_counter()
            await ask_all(client, asked)
            seconds = time.perf_counter() - start
            assert client.usage.requests == len(asked) == client.usage.questions
    return seconds


async def bare(base_url: str, asked: Sequence[Question]) -> float:
    """Return the seconds that a loop over the `openai` package takes."""
    slots = asyncio.Semaphore(CONCURRENCY)
    async with openai.AsyncOpenAI(api_key="none", base_url=base_url, max_retries=0) as client:

        async def one(question: Question) -> None:
            async with slots:
                url = f"data:image/jpeg;base64,{base64.b64encode(question.images[0]).decode()}"
                text = f"Describe frame {question.values['number']}."
                parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
                form = {"type": "json_schema", "json_schema": {"name": "d", "schema": SCHEMA, "strict": True}}
                done = await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": parts}], response_format=form,
                    temperature=0.0, seed=0, max_tokens=1024,
                )  # fmt: skip
                json.loads(done.choices[0].message.content or "")

        start = time.perf_counter()
        await asyncio.gather(*map(one, asked))
        return time.perf_counter() - start


def measure(latency_s: float, count: int, rounds: int) -> dict[str, float]:
    """Return the row of one latency; a first small round warms both up."""
    command = [sys.executable, __file__, "--serve", str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        times: dict[str, list[float]] = {"ours": [], "bare": []}
        try:
            for run in range(-1, rounds):
                asked = questions(count if run >= 0 else CONCURRENCY, run + 1)
                for name, loop in (("ours", ours), ("bare", bare))[:: 1 if run % 2 else -1]:
                    seconds = asyncio.run(loop(base_url, asked))
                    if run >= 0:
                        times[name].append(seconds)
        finally:
            server.kill()
    ours_s, bare_s = statistics.median(times["ours"]), statistics.median(times["bare"])
    ideal_s = count / CONCURRENCY * latency_s
    return {
        "latency_s": latency_s, "requests": count, "rounds": rounds, "ideal_s": ideal_s, "ours_s": ours_s,
        "bare_s": bare_s, "ours_of_ideal": ideal_s / ours_s, "bare_of_ideal": ideal_s / bare_s,
        "ours_of_bare": bare_s / ours_s,
    }  # fmt: skip


def main() -> None:
    """Print the table of both latencies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=float, metavar="SECONDS", help="be the server (used by the benchmark itself)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args()
    if options.serve is not None:
        return asyncio.run(serve(options.serve))
    sizes = ((1.0, 128), (0.2, 256)) if options.quick else ((1.0, 512), (0.2, 2048))
    rows = [measure(latency, count, 1 if options.quick else options.rounds) for latency, count in sizes]
    print("latency  requests  ideal s  ours s  bare s  ours/ideal  bare/ideal  speed ours/bare")
    for row in rows:
        print(
            f"{row['latency_s']:7.1f} {row['requests']:9.0f} {row['ideal_s']:8.2f} {row['ours_s']:7.2f} "
            f"{row['bare_s']:7.2f} {row['ours_of_ideal']:11.1%} {row['bare_of_ideal']:11.1%} "
            f"{row['ours_of_bare']:16.1%}"
        )
    if options.json:
        machine = {
            "python": platform.python_version(),
            "openai": openai.__version__,
            "machine": platform.platform(),
        }
        options.json.write_text(json.dumps({"concurrency": CONCURRENCY, **machine, "rows": rows}, indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
