"""A chat-completions server that looks at the pixels it gets, and misbehaves as told.

    python loopback_server.py --log requests.jsonl --faults 429,truncated,ok --fraction 0.3 --latency 0 0.05

Prints its port. Answers meet the schema asked for; their words name the dominant colours of the images, in
order ("red then blue"), so a mixed-up answer shows. One JSON line per request goes to the log.
"""

import argparse
import base64
import hashlib
import json
import random
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np
from loopback_batches import Desk

PALETTE = {
    "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0),
    "cyan": (0, 255, 255), "magenta": (255, 0, 255), "white": (255, 255, 255), "black": (0, 0, 0),
}  # fmt: skip


def dominant_colour(data_url: str) -> str:
    encoded = base64.b64decode(data_url.partition("base64,")[2], validate=True)
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    mean = image[..., ::-1].reshape(-1, 3).mean(0)
    return min(PALETTE, key=lambda name: float(np.abs(mean - PALETTE[name]).sum()))


class Asked:
    """What a request asks for."""

    def __init__(self, body: dict) -> None:
        contents = [message["content"] for message in body["messages"]]
        parts = [part for content in contents if isinstance(content, list) for part in content]
        self.texts = [part["text"] for part in parts if part["type"] == "text"]
        self.repair = contents[-1] if len(contents) > 1 else ""
        self.said = contents[1] if len(contents) > 1 else ""
        self.colours = [dominant_colour(p["image_url"]["url"]) for p in parts if p["type"] == "image_url"]
        words = re.findall(r"[a-z]+", self.texts[0])
        self.told_colours = list(dict.fromkeys(word for word in words if word in PALETTE))[:3]
        self.structured = "response_format" in body
        if self.structured:
            form = body["response_format"]["json_schema"]
            self.name, self.schema = form["name"], form["schema"]
        else:
            plain = re.search(r"named ([\w-]+):\n```json\n(.*?)\n```", self.texts[0], re.DOTALL)
            assert plain is not None, "neither response_format nor a schema in the text"
            self.name, self.schema = plain[1], json.loads(plain[2])
        # the question itself: equal for a retry, a repair and a plain second try
        self.digest = hashlib.sha256(
            json.dumps([self.name, self.texts[0].partition("\n\nAnswer with one JSON object")[0],
                        [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]]).encode()
        ).hexdigest()  # fmt: skip


def fill(schema: dict, asked: Asked, path: tuple[str, ...] = ()) -> Any:
    """A value that meets the schema. Its words name the colours seen and its own place in the answer."""
    chance = random.Random(asked.digest + "/".join(path))
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "anyOf" in schema:
        return fill(chance.choice(schema["anyOf"]), asked, path)
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            pairs = list(schema["properties"].items())
            chance.shuffle(pairs)  # order must not matter to whoever reads it
            return {name: fill(inner, asked, (*path, name)) for name, inner in pairs}
        case "array":
            count = max(schema.get("minItems", 0), min(3, schema.get("maxItems", 3)))
            return [fill(schema["items"], asked, (*path, str(index))) for index in range(count)]
        case "string":
            words = " then ".join(asked.colours or asked.told_colours) or "nothing"
            return f"move towards the {words} {path[-2]}" if path[-1] == "instruction" else " ".join((*path, words))
        case "boolean":
            return chance.random() < 0.5
        case "null":
            return None
        case _:
            low, high = schema.get("minimum", 0), schema.get("maximum", 40)
            return chance.randint(low, high) if "integer" in kind else round(chance.uniform(low, high), 3)


def break_enum(value: Any, schema: dict) -> Any:
    """The same answer with each enum value replaced by one that is not on the list."""
    if "enum" in schema:
        return "fly away"
    if "anyOf" in schema:
        return value
    if isinstance(value, dict):
        return {name: break_enum(inner, schema["properties"][name]) for name, inner in value.items()}
    return [break_enum(inner, schema["items"]) for inner in value] if isinstance(value, list) else value


def completion(text: str | None, finish: str = "stop", refusal: str | None = None) -> dict:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}


def spoiled(fault: str, good: Any, schema: dict) -> dict:
    """A 200 response whose content is of no use."""
    text = json.dumps(good)
    match fault:
        case "truncated":
            return completion(text[: len(text) // 2], "length")
        case "cut":  # truncated, but the server does not say so
            return completion(text[: len(text) // 2])
        case "off_enum":
            return completion(json.dumps(break_enum(good, schema)))
        case "refusal":
            return completion(None, refusal="I would rather not.")
        case "content_filter":
            return completion("", "content_filter")
        case "wrong_finish":
            return completion(text, "tool_calls")
        case "no_choices":
            return {**completion(text), "choices": []}
        case "not_json":
            return completion("I see a robot.")
        case "nan":
            return completion('{"colour": NaN}')
        case "wrong_schema":
            return completion('{"surprise": 1}')
        case "fenced":
            return completion(f"```json\n{text}\n```")
        case "parts":
            return {
                **completion(None),
                "choices": [{"message": {"content": [{"type": "text", "text": text}]}}],
            }
        case "no_usage":
            return {**completion(text), "usage": None}
    raise ValueError(fault)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "Server"

    def do_POST(self) -> None:
        arrived = time.time()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.endswith("/chat/completions"):
            return self.at_desk("POST", content)
        body = json.loads(content)
        asked = Asked(body)
        number, fault, latency = self.server.draw()
        time.sleep(latency)
        self.server.log({  # before the answer: who has it may look at the log at once
            "n": number, "arrived": arrived, "fault": fault, "name": asked.name, "digest": asked.digest,
            "structured": asked.structured, "colours": asked.colours, "text": asked.texts[0],
            "repair": asked.repair, "said": asked.said, "schema": asked.schema, "path": self.path,
            "model": body["model"],
        })  # fmt: skip
        try:
            self.answer(fault, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_GET(self) -> None:
        """Batches and files; anything else is where a followed redirect would land."""
        if self.path.startswith(("/v1/batches", "/v1/files")):
            return self.at_desk("GET", b"")
        self.server.log({"fault": "followed", "name": "followed", "digest": ""})
        self.reply(200, completion("{}"))

    def do_DELETE(self) -> None:
        self.at_desk("DELETE", b"")

    def at_desk(self, method: str, content: bytes) -> None:
        answer = self.server.desk.serve(method, self.path, self.headers["Content-Type"] or "", content)
        if answer is None:  # done, but nobody hears of it
            self.close_connection = True
        else:
            self.reply(*answer)

    def answer(self, fault: str, asked: Asked) -> None:
        authorization = self.headers.get("Authorization", "")
        match fault:
            case "ok":
                if self.server.options.plain_only and asked.structured:
                    return self.fail(400, "unknown field response_format")
                return self.reply(200, completion(json.dumps(fill(asked.schema, asked))))
            case "429":
                return self.fail(429, "slow down", {"Retry-After": str(self.server.options.retry_after)})
            case "quota":
                return self.fail(429, "no money left", code="insufficient_quota")
            case "400" | "401" | "404" | "422" | "500" | "503":
                return self.fail(int(fault), f"fault {fault}")
            case "echo401" | "echo500":
                return self.fail(int(fault[4:]), f"bad header {authorization}")
            case "echo_raw":
                return self.reply(500, f"<html>{authorization}</html>".encode())
            case "echo_answer":
                return self.reply(200, completion(json.dumps({"colour": authorization, "note": "n"})))
            case "hang":
                time.sleep(self.server.options.hang)
                self.close_connection = True
                return None
            case "drop":
                self.close_connection = True
                return None
            case "endless" | "endless500":
                return self.endless(200 if fault == "endless" else 500)
            case "drip":
                return self.drip()
            case "gzip":
                return self.reply(200, b"\x1f\x8b", {"Content-Encoding": "gzip"})
            case "redirect":
                port = self.server.server_address[1]
                return self.reply(307, b"", {"Location": f"http://localhost:{port}/elsewhere"})
            case "garbage":
                return self.reply(200, b"\xff\xfe nothing")
        return self.reply(200, spoiled(fault, fill(asked.schema, asked), asked.schema))

    def fail(self, status: int, text: str, headers: dict | None = None, code: str | None = None) -> None:
        self.reply(status, {"error": {"message": text, "type": "fault", "code": code}}, headers)

    def reply(self, status: int, body: dict | bytes, headers: dict | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def endless(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(b" " * 65536)

    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        for _ in range(100):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        """Keep stderr for real trouble."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.options = options
        self.lock, self.chance, self.count = threading.Lock(), random.Random(options.seed), 0
        self.desk = Desk(options, self.row, self.log)

    def row(self, body: dict) -> tuple[int, dict]:
        """Status and body of one request of a batch."""
        asked = Asked(body)
        number, fault, _ = self.draw()
        if fault == "ok" and self.options.plain_only and asked.structured:
            fault = "400"
        self.log({"n": number, "fault": fault, "name": asked.name, "digest": asked.digest, "colours": asked.colours,
                  "structured": asked.structured, "repair": asked.repair})  # fmt: skip
        if fault in ("400", "429", "500"):
            return int(fault), {"error": {"message": f"fault {fault}", "code": None}}
        good = fill(asked.schema, asked)
        return 200, completion(json.dumps(good)) if fault == "ok" else spoiled(fault, good, asked.schema)

    def draw(self) -> tuple[int, str, float]:
        """Number, fault and latency of the next request: the given sequence, then a fraction at random."""
        options = self.options
        with self.lock:
            number, self.count = self.count, self.count + 1
            latency = self.chance.uniform(*options.latency)
            if number < len(options.faults):
                return number, options.faults[number], latency
            faulty = self.chance.random() < options.fraction
            return number, self.chance.choice(options.kinds) if faulty else "ok", latency

    def log(self, line: dict) -> None:
        with self.lock, open(self.options.log, "a") as file:
            file.write(json.dumps(line) + "\n")


def commas(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def make_server(arguments: list[str] | None = None) -> Server:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", required=True)
    parser.add_argument("--faults", type=commas, default=[], help="for the first requests, in order of arrival")
    parser.add_argument("--fraction", type=float, default=0.0, help="of the later requests that meet a fault")
    parser.add_argument("--kinds", type=commas, default=["500"], help="faults that the fraction draws from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, nargs=2, default=[0.0, 0.0], help="seconds, uniform")
    parser.add_argument("--retry-after", default="0", help="header of a 429: seconds or a date")
    parser.add_argument("--hang", type=float, default=5.0, help="seconds")
    parser.add_argument("--plain-only", action="store_true", help="refuse response_format")
    parser.add_argument("--batch-polls", type=int, default=1, help="looks at a batch before it is over")
    parser.add_argument("--batch-faults", type=commas, default=[], help="for the first batches, in order")
    parser.add_argument("--batch-most", type=int, default=10**6, help="larger batches exceed the token limit")
    return Server(parser.parse_args(arguments))


def main() -> None:
    server = make_server()
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
