"""An OpenAI-compatible HTTP server on loopback, for tests: scores from a hash, faults on demand.

In a test: ``with ScoreServer(latency=0.05) as server: ...``, in a process of its own:
``python -m llmattn.testing.server --port 0``, which prints the base URL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import struct
import sys
import threading
from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any

from attrs import evolve, fields_dict

from llmattn.testing.api import ANSWERS, REFUSABLE, Answer, RequestLog, ServerOptions, answer, error
from llmattn.testing.batches import UNANSWERED, BatchStore
from llmattn.testing.faults import FAULTS, FaultPlan
from llmattn.testing.shapes import OPENAI

__all__ = ["ScoreServer"]

_LARGEST_HEAD = 64 * 1024


class ScoreServer:
    """The server in a thread of its own. The options are those of ServerOptions.

    Beside OpenAI's routes, ``GET /admin/summary``, ``/admin/requests`` and ``/admin/pairs``
    tell what was asked, and ``POST /admin/reset`` forgets it. ``batches`` holds the batches and
    their files.
    """

    def __init__(self, *, port: int = 0, **options: Any) -> None:
        self.options = ServerOptions(**options)
        self.log = RequestLog()
        self._port = port
        self.batches = BatchStore()
        self._ready = threading.Event()
        self._failed: OSError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True, name="score-server")

    def __enter__(self) -> ScoreServer:
        self._thread.start()
        self._ready.wait()
        if self._failed:
            self._thread.join()
            raise self._failed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``, without a path."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL that an OpenAI client takes."""
        return f"{self.origin}/v1"

    def change(self, **options: Any) -> None:
        """Behave otherwise from the next request on."""
        self.options = evolve(self.options, **options)

    def reset(self) -> None:
        """Forget what was asked; faults are drawn from the first again."""
        self.log = RequestLog()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except OSError as failed:
            self._failed = failed
            self._ready.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(
            self._connected, "127.0.0.1", self._port, limit=_LARGEST_HEAD, backlog=1024
        )
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one_request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the server stops
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False when the connection is to be closed."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {
            name.lower(): text.strip()
            for name, _, text in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = target.partition("?")[0]
        log, fault = self.log, None
        log.paths.append(target)
        log.in_flight += 1
        log.most_in_flight = max(log.most_in_flight, log.in_flight)
        try:
            if method == "POST" and self._gives_scores(path) and self._allowed(headers):
                asked = json.loads(body)
                fault = self.options.faults.draw(len(log.requests))
                entry = log.add(path, asked, fault)
                await asyncio.sleep(self.options.latency)
                got = answer(entry, self.options, log)
            else:
                got = self._other(method, target, headers, body)
                if method == "POST" and path == "/v1/batches":
                    await asyncio.sleep(self.options.batch_latency)
        finally:
            log.in_flight -= 1
        if got is UNANSWERED:
            return False
        data = got.body if isinstance(got.body, bytes) else json.dumps(got.body).encode()
        head_out = [f"HTTP/1.1 {got.status} {HTTPStatus(got.status).phrase}"]
        lines = {"Content-Type": "application/json", "Content-Length": len(data), **got.headers}
        head_out += [f"{name}: {text}" for name, text in lines.items()]
        out = "\r\n".join([*head_out, "", ""]).encode("latin-1") + data
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)  # closing then sends RST, not FIN
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return False
        if fault == "stall":
            writer.write(out[: -max(1, len(data) // 2)])
            await reader.read(1)  # nothing more until the client gives up
            return False
        writer.write(out)
        await writer.drain()
        # A length that is not the body's is a lie of the answer; nothing can follow it.
        closes = headers.get("connection", "").lower() == "close"
        return not closes and "Content-Length" not in got.headers

    def _gives_scores(self, path: str) -> bool:
        shape = self.options.shape
        return path in OPENAI or (shape is not None and path == shape.path)

    def _allowed(self, headers: Mapping[str, str]) -> bool:
        sent, options = headers.get("authorization", ""), self.options
        if options.basic_auth is not None:
            return sent == f"Basic {b64encode(options.basic_auth.encode()).decode()}"
        return options.api_key is None or sent == f"Bearer {options.api_key}"

    def _other(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Everything but requests for scores."""
        path = target.partition("?")[0]
        if path.startswith("/admin/"):
            return self._admin(path.removeprefix("/admin/"))
        if not self._allowed(headers):
            sent = headers.get("authorization", "").partition(" ")[2]
            return error(401, f"Incorrect API key provided: {sent}.", "invalid_api_key")
        if path == "/v1/models":
            listed = [
                {"id": name, "object": "model", "created": 0, "owned_by": "test"}
                for name in self.options.models
            ]
            return Answer(200, {"object": "list", "data": listed})
        got = self.batches.handle(method, target, headers, body, self.options, self.log)
        return got or error(404, f"There is nothing at {method} {path}.")

    def _admin(self, name: str) -> Answer:
        if name == "summary":
            return Answer(200, self.log.summary())
        if name == "requests":
            return Answer(200, list(self.log.requests))
        if name == "pairs":
            pairs = sorted(self.log.answered.items())
            return Answer(200, [[query, key, count] for (query, key), count in pairs])
        if name == "reset":
            self.reset()
            return Answer(200, {})
        return error(404, f"There is nothing at /admin/{name}.")


def _fault(text: str) -> tuple[str, float]:
    name, _, probability = text.partition("=")
    return name, float(probability or 1)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the base URL is printed once connections are taken."""
    parser = argparse.ArgumentParser(
        prog="python -m llmattn.testing.server",
        description=__doc__.splitlines()[0],
        epilog="Faults: " + "; ".join(f"{name}: {what}" for name, what in FAULTS.items()),
    )
    defaults = {name: field.default for name, field in fields_dict(ServerOptions).items()}
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--models", nargs="+", default=defaults["models"])
    parser.add_argument("--api-key", help="refuse requests without this key")
    parser.add_argument("--basic-auth", help="USER:PASSWORD; refuse requests without it")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument(
        "--fault", action="append", type=_fault, default=[], help="NAME=PROBABILITY"
    )
    parser.add_argument("--fault-share", type=float, help="share of all faults together, evenly")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--retry-after", type=float, default=defaults["retry_after"])
    parser.add_argument("--refuse", nargs="+", choices=REFUSABLE, default=())
    parser.add_argument("--refuse-status", type=int, default=400)
    parser.add_argument("--answers", choices=sorted(ANSWERS), default="hash")
    parser.add_argument("--rate-headers", action="store_true")
    parser.add_argument("--batch-polls", type=int, default=1)
    parser.add_argument("--batch-end", default="completed")
    options = vars(parser.parse_args(argv))
    faults, share, seed = (options.pop(name) for name in ("fault", "fault_share", "seed"))
    plan = FaultPlan.evenly(share, seed=seed) if share else FaultPlan(dict(faults), seed)
    options.update(models=tuple(options["models"]), refuse=tuple(options["refuse"]), faults=plan)
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    with ScoreServer(**options) as server:
        print(server.url, flush=True)  # noqa: T201  (the caller reads it)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
