"""Files and batches of the loopback server. A batch is paid for (its rows are drawn and logged) when it is created."""

import argparse
import email.parser
import json
import random
import threading
from collections.abc import Callable
from typing import Any

Answer = tuple[int, dict | bytes]


class Desk:
    """Keeps files and batches. Faults of a batch: expired, cancelled, refused, lost (made, but nobody is told),
    scrambled (lines that make no sense among the answers)."""

    def __init__(
        self, options: argparse.Namespace, row: Callable[[dict], tuple[int, dict]], log: Callable[[dict], None]
    ) -> None:
        self.options, self.row, self.log = options, row, log
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.chance, self.lock = random.Random(0), threading.Lock()

    def serve(self, method: str, path: str, kind: str, content: bytes) -> Answer | None:
        with self.lock:
            where = path.partition("?")[0].removeprefix("/v1/").split("/")
            match method, where:
                case "POST", ["files"]:
                    return 200, {"id": self.keep(_uploaded(kind, content))}
                case "GET", ["files", file, "content"]:
                    return 200, self.files[file]
                case "DELETE", ["files", file]:
                    self.log({"fault": "deleted", "name": file, "digest": ""})
                    return 200, {"id": file, "deleted": self.files.pop(file, None) is not None}
                case "POST", ["batches"]:
                    return self.create(json.loads(content))
                case "GET", ["batches"]:
                    return self.page(path)
                case "GET", ["batches", batch]:
                    return 200, self.look(self.batches[batch])
        return 404, {"error": {"message": f"nothing at {path}", "code": None}}

    def keep(self, content: bytes) -> str:
        name = f"file-{len(self.files) + self.chance.randrange(10**9)}"
        self.files[name] = content
        return name

    def create(self, body: dict) -> Answer | None:
        rows = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        fault = self.options.batch_faults.pop(0) if self.options.batch_faults else "ok"
        if len(rows) > self.options.batch_most:
            fault = "token_limit_exceeded"
        batch = {
            "id": f"batch_{len(self.batches)}", "object": "batch", "status": "in_progress", "fault": fault, "looks": 0,
            "metadata": body["metadata"], "input_file_id": body["input_file_id"], "endpoint": body["endpoint"],
            "request_counts": {"total": len(rows), "completed": 0, "failed": 0},
        }  # fmt: skip
        self.batches[batch["id"]] = batch
        self.log({"fault": "batch", "name": fault, "digest": "", "requests": len(rows)})
        if fault in ("refused", "token_limit_exceeded"):
            batch["end"] = {"status": "failed", "errors": {"data": [{"code": fault, "message": f"fault {fault}"}]}}
        else:
            batch["end"] = self.work(rows, fault)
        return None if fault == "lost" else (200, batch)

    def work(self, rows: list[dict], fault: str) -> dict:
        """Answer the rows, in another order than they came in."""
        done, errors = [], []
        self.chance.shuffle(rows)
        for number, row in enumerate(rows):
            assert (row["method"], row["url"]) == ("POST", "/v1/chat/completions")
            if fault in ("expired", "cancelled") and number % 2:
                error = {"code": f"batch_{fault}", "message": "not done"}
                errors.append({"custom_id": row["custom_id"], "response": None, "error": error})
                continue
            status, body = self.row(row["body"])
            answer = {"custom_id": row["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
            (done if status == 200 else errors).append(answer)
        lines = [json.dumps(row).encode() for row in done]
        if fault == "scrambled":
            lines = [b"\xff\xfe", b"[1]", b'{"custom_id": 7}', b'{"custom_id": "x", "response": 3}', *lines[1:]]
        status = fault if fault in ("expired", "cancelled") else "completed"
        end: dict[str, Any] = {"status": status, "request_counts": {"completed": len(done), "failed": len(errors)}}
        end["output_file_id"] = self.keep(b"\n".join(lines)) if lines else None
        end["error_file_id"] = self.keep(b"\n".join(json.dumps(row).encode() for row in errors)) if errors else None
        return end

    def look(self, batch: dict) -> dict:
        batch["looks"] += 1
        return {**batch, **(batch["end"] if batch["looks"] >= self.options.batch_polls else {})}

    def page(self, path: str) -> Answer:
        """One batch a page, the newest first."""
        names = list(reversed(self.batches))
        if "after=" in path:
            names = names[names.index(path.partition("after=")[2].partition("&")[0]) + 1 :]
        return 200, {"data": [self.batches[name] for name in names[:1]], "has_more": len(names) > 1}


def _uploaded(kind: str, content: bytes) -> bytes:
    message = email.parser.BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + content)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
    assert parts["purpose"].get_payload(decode=True) == b"batch"
    return parts["file"].get_payload(decode=True)
