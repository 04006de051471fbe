"""The stranger of the tests of trust: a server that counts what reaches it, and keys to lose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from attrs import frozen
from support_cli import Done, run_cli

KEYS = {
    f"{name}_API_KEY": f"sk-planted-{name.lower()}-5417"
    for name in ("OPENAI", "CEREBRAS", "CUSTOM")
}
"""One for each provider that takes one, as a user has them in the environment."""


@frozen
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: str
    body: str

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.method} {self.path}\n{self.headers}\n{self.body}"


class Stranger:
    """A server on loopback that notes every request.

    ``answer`` gives status and headers of the answer to a request; without it all get 500.
    """

    def __init__(
        self, answer: Callable[[Seen], tuple[int, dict[str, str], bytes]] | None = None
    ) -> None:
        self.seen: list[Seen] = []
        seen, reply = self.seen, answer or (lambda request: (500, {}, b"no"))

        class Handler(BaseHTTPRequestHandler):
            def _note(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Seen(
                    self.command, self.path, str(self.headers), body.decode("utf-8", "replace")
                )
                seen.append(request)
                status, headers, content = reply(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_HEAD = _note

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its base URL, as a provider takes it."""
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        """Its address without a path."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Stranger:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def command(folder: Path, *arguments: object, environ: Mapping[str, str] = KEYS) -> Done:
    """``llmattn ARGUMENTS`` in ``folder``, where ``environ`` holds keys to lose."""
    return run_cli(folder, *arguments, **environ)


def altered(path: Path, change: Callable[[dict[str, Any]], None], to: Path) -> Path:
    """The checkpoint at ``path`` with ``change`` done to what it holds, written to ``to``."""
    data = torch.load(path, weights_only=True)
    change(data)
    torch.save(data, to)
    return to
