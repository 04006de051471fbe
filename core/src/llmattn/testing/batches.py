"""Files and batches of the test server: the life cycle of OpenAI's Batch API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from llmattn.testing.api import Answer, RequestLog, ServerOptions, answer, error

__all__ = ["BatchStore"]


@define
class BatchStore:
    """The files that were uploaded or produced, and the batches, by id."""

    files: dict[str, bytes] = Factory(dict)
    batches: dict[str, dict[str, Any]] = Factory(dict)
    _polls: dict[str, int] = Factory(dict)
    _refused: int = 0

    def handle(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        options: ServerOptions,
        log: RequestLog,
    ) -> Answer | None:
        """The answer to a request below ``/v1/files`` or ``/v1/batches``, or None."""
        kind, _, rest = path.removeprefix("/v1/").partition("/")
        name, _, action = rest.partition("/")
        if kind in ("files", "batches") and self._refused < options.batch_busy:
            self._refused += 1
            return error(503, "The server is busy.")
        if kind == "files":
            return self._file(method, name, action, headers, body)
        if kind == "batches":
            return self._batch(method, name, action, body, options, log)
        return None

    def _file(
        self, method: str, name: str, action: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if method == "POST" and not name:
            parts = _multipart(headers.get("content-type", ""), body)
            if "file" not in parts or parts.get("purpose") != b"batch":
                return error(400, "A file with purpose=batch is needed.")
            return Answer(200, self._describe(self._keep(parts["file"])))
        if name not in self.files:
            return error(404, f"No such File object: {name}")
        if method == "DELETE":
            del self.files[name]
            return Answer(200, {"id": name, "object": "file", "deleted": True})
        if action == "content":
            return Answer(200, self.files[name], {"Content-Type": "application/octet-stream"})
        return Answer(200, self._describe(name))

    def _batch(
        self,
        method: str,
        name: str,
        action: str,
        body: bytes,
        options: ServerOptions,
        log: RequestLog,
    ) -> Answer:
        if method == "POST" and not name:
            wanted = json.loads(body)
            if wanted.get("input_file_id") not in self.files:
                return error(400, f"No such File object: {wanted.get('input_file_id')}")
            return Answer(200, self._begin(wanted))
        if name not in self.batches:
            return error(404, f"No such Batch object: {name}")
        batch = self.batches[name]
        if action == "cancel":
            self._end(batch, "cancelled", options, log)
        elif batch["status"] in ("validating", "in_progress"):
            self._polls[name] += 1
            batch["status"] = "in_progress"
            if self._polls[name] > options.batch_polls:
                self._end(batch, options.batch_end, options, log)
        return Answer(200, batch)

    def _begin(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        name = f"batch_{len(self.batches)}"
        lines = self.files[wanted["input_file_id"]].splitlines()
        self._polls[name] = 0
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": wanted["endpoint"],
            "input_file_id": wanted["input_file_id"],
            "completion_window": wanted["completion_window"],
            "created_at": 0,
            "status": "validating",
            "errors": None,
            "output_file_id": None,
            "error_file_id": None,
            "metadata": wanted.get("metadata"),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        return self.batches[name]

    def _end(
        self, batch: dict[str, Any], status: str, options: ServerOptions, log: RequestLog
    ) -> None:
        batch["status"] = status
        if status == "failed":
            batch["errors"] = {"object": "list", "data": [{"message": "Bad input file."}]}
            return
        lines = self.files[batch["input_file_id"]].splitlines()
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for number, line in enumerate(lines):
            request = json.loads(line)
            made = {"id": f"batch_req_{number}", "custom_id": request["custom_id"]}
            if status != "completed" and number >= len(lines) // 2:
                failed.append({**made, "response": None, "error": {"code": f"batch_{status}"}})
                continue
            fault = options.faults.draw(len(log.requests))
            log.add(request["url"], request["body"], fault)
            got = answer(request["url"], request["body"], fault, options, log)
            response = {"status_code": got.status, "request_id": "r", "body": got.body}
            if isinstance(got.body, bytes) or fault in ("reset", "stall"):
                response = {"status_code": 500, "request_id": "r", "body": {}}
            entry = {**made, "response": response, "error": None}
            (done if response["status_code"] == 200 else failed).append(entry)
        batch["request_counts"] = {
            "total": len(lines),
            "completed": len(done),
            "failed": len(failed),
        }
        # A batch gives its results in no particular order.
        batch["output_file_id"] = self._keep(_lines(done[::-1])) if done else None
        batch["error_file_id"] = self._keep(_lines(failed)) if failed else None

    def _keep(self, data: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = data
        return name

    def _describe(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "file",
            "bytes": len(self.files[name]),
            "created_at": 0,
            "filename": "batch.jsonl",
            "purpose": "batch",
            "status": "processed",
        }


def _lines(entries: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def _multipart(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a ``multipart/form-data`` body, by name."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    parts = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        parts[name] = data.removesuffix(b"\r\n")
    return parts
