"""Files and batches of the test server: the life cycle of OpenAI's Batch API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from attrs import Factory, define

from llmattn.testing.api import Answer, RequestLog, ServerOptions, answer, error

__all__ = ["UNANSWERED", "BatchStore"]

UNANSWERED = Answer(0, b"")
"""Stands for a connection that is dropped."""


@define
class BatchStore:
    """The files that were uploaded or produced, and the batches, by id. A test may take some
    away, as a server does after a time.
    """

    files: dict[str, bytes] = Factory(dict)
    names: dict[str, str] = Factory(dict)
    """What the files are called."""
    batches: dict[str, dict[str, Any]] = Factory(dict)
    begun: int = 0
    """Batches that were ever begun."""
    _kept: int = 0
    _polls: dict[str, int] = Factory(dict)
    _refused: int = 0
    _unanswered: int = 0

    def handle(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        options: ServerOptions,
        log: RequestLog,
    ) -> Answer | None:
        """The answer to a request below ``/v1/files`` or ``/v1/batches``, or None."""
        path, _, query = target.partition("?")
        kind, _, rest = path.removeprefix("/v1/").partition("/")
        name, _, action = rest.partition("/")
        name = unquote(name)
        if kind in ("files", "batches") and self._refused < options.batch_busy:
            self._refused += 1
            return error(503, "The server is busy.")
        if method == "GET" and not name and kind in ("files", "batches"):
            return self._list(kind, dict(parse_qsl(query)), options)
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
            name = self._keep(parts["file"], parts["file.name"].decode())
            return Answer(200, self._describe(name))
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
            batch = self._begin(wanted, options)
            if self._unanswered < options.batch_unanswered:
                self._unanswered += 1
                return UNANSWERED
            return Answer(200, batch)
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

    def _list(self, kind: str, query: Mapping[str, str], options: ServerOptions) -> Answer:
        """A page of all files or batches, the newest first, after the id that the query names."""
        ids = list(self.files if kind == "files" else self.batches)[::-1]
        start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
        size = min(int(query.get("limit", 20)), options.batch_page)
        page = ids[start : start + size]
        data = [self._describe(i) if kind == "files" else self.batches[i] for i in page]
        return Answer(200, {"object": "list", "data": data, "has_more": start + size < len(ids)})

    def _begin(self, wanted: Mapping[str, Any], options: ServerOptions) -> dict[str, Any]:
        name = options.batch_id.format(self.begun)
        self.begun += 1
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
            got = answer(log.add(request["url"], request["body"], fault), options, log)
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

    def _keep(self, data: bytes, filename: str = "answers.jsonl") -> str:
        name = f"file-{self._kept}"
        self._kept += 1
        self.files[name], self.names[name] = data, filename
        return name

    def _describe(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "file",
            "bytes": len(self.files[name]),
            "created_at": 0,
            "filename": self.names[name],
            "purpose": "batch",
            "status": "processed",
        }


def _lines(entries: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def _multipart(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a ``multipart/form-data`` body, by name; ``NAME.name`` is that of a file."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    parts = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        parts[name] = data.removesuffix(b"\r\n")
        parts[f"{name}.name"] = head.partition(b'filename="')[2].partition(b'"')[0]
    return parts
