"""The servers, gateways and proxies of others that llmattn is tried with, one function each.

``LLMATTN_PEERS`` is a folder with two virtual environments, ``litellm`` and ``serve``, which have
what the files beside this one list (``make test-peers`` sets them up, since the two do not go
together with each other's versions); nginx and openssl are the machine's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import field, frozen
from llmattn.testing.server import ScoreServer
from peers.programs import Program, free_port
from support_environment import OUTER

__all__ = ["PEERS", "Absent", "Peer"]

_FOLDER = Path(OUTER.get("LLMATTN_PEERS", ".venv-peers")).absolute()
LITELLM, SERVE = _FOLDER / "litellm/bin", _FOLDER / "serve/bin"
LLAMA = OUTER.get("LLMATTN_LOCAL_LLM", "local_llm.py")
KEY = "sk-of-this-peer"


class Absent(Exception):
    """A peer that is not on this machine; the text says what is missing."""


@frozen
class Peer:
    """A peer that runs: ``environ`` makes llmattn ask it, ``program`` is what can be killed, and
    ``options`` go with every command.
    """

    environ: Mapping[str, str]
    program: Program
    options: tuple[str, ...] = ()
    check: Callable[[], None] = field(default=lambda: None)
    """Raises AssertionError if the peer was gone around."""
    model: bool = False
    """Whether a small language model answers, whose scores mean nothing."""


@contextmanager
def _nginx(folder: Path, place: str = "", server: str = "", **environ: str) -> Iterator[Peer]:
    """nginx before the kit's server."""
    with ScoreServer(latency=0.02) as behind, _before(folder, behind, place, server) as program:
        yield Peer({**_asks(program.url), **environ}, program)


class _Nginx(Program):
    url: str


@contextmanager
def _before(
    folder: Path, behind: ScoreServer, place: str, server: str, scheme: str = "http"
) -> Iterator[_Nginx]:
    port, file = free_port(), folder / "nginx.conf"
    found = shutil.which("nginx", path=f"{OUTER['PATH']}:/usr/sbin")
    if not found:
        raise Absent("nginx is not installed (apt install nginx-light)")
    ssl = " ssl" if scheme == "https" else ""
    temporary = "".join(
        f"{kind}_temp_path {folder};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi")
    )
    file.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; events {{}}\n"
        f"http {{ access_log {folder}/access.log; client_body_temp_path {folder}; {temporary}\n"
        "limit_req_zone $server_name zone=few:1m rate=4r/s;\n"
        f"server {{ listen 127.0.0.1:{port}{ssl}; {server}\n"
        f"location / {{ proxy_pass {behind.origin}; proxy_http_version 1.1; {place} }} }} }}\n"
    )
    program = _Nginx(folder, port, [found, "-e", folder / "error.log", "-c", file])
    program.url = f"{scheme}://127.0.0.1:{port}/v1"
    with program:
        yield program


def _asks(url: str, model: str = "test-model", key: str = KEY) -> dict[str, str]:
    return {"CUSTOM_BASE_URL": url, "LLM_MODEL": model, "CUSTOM_API_KEY": key}


@contextmanager
def nginx_gzip(folder: Path) -> Iterator[Peer]:
    """Replies come compressed."""
    gzip = "gzip on; gzip_types application/json; gzip_min_length 1; gzip_proxied any;"
    with _nginx(folder, gzip) as peer:
        yield peer


@contextmanager
def nginx_502(folder: Path) -> Iterator[Peer]:
    """One of four requests meets a server that is down, and gets nginx's own page for it."""
    down = free_port()
    split = f"if ($request_id ~ '[0-3]$') {{ proxy_pass http://127.0.0.1:{down}; }}"
    with _nginx(folder, split) as peer:
        yield peer


@contextmanager
def nginx_small(folder: Path) -> Iterator[Peer]:
    """A gateway that takes bodies of 4 kB at most, since the text of a request alone is 2 kB."""
    with _nginx(folder, server="client_max_body_size 4k;") as peer:
        yield peer


@contextmanager
def nginx_tiny(folder: Path) -> Iterator[Peer]:
    """A gateway that takes bodies of 1 kB at most: no request is as small."""
    with _nginx(folder, server="client_max_body_size 1k;") as peer:
        yield peer


@contextmanager
def nginx_rate(folder: Path) -> Iterator[Peer]:
    """Four requests a second, else 429."""
    with _nginx(folder, "limit_req zone=few; limit_req_status 429;") as peer:
        yield peer


@contextmanager
def nginx_basic(folder: Path) -> Iterator[Peer]:
    """Basic authentication; user and password stand in the address."""
    digest = base64.b64encode(hashlib.sha1(b"secret").digest()).decode()
    (folder / "users").write_text(f"me:{{SHA}}{digest}\n")
    (folder / "users").chmod(0o644)
    with _nginx(folder, f"auth_basic peers; auth_basic_user_file {folder}/users;") as peer:
        url = peer.environ["CUSTOM_BASE_URL"].replace("//", "//me:secret@")
        yield Peer({"CUSTOM_BASE_URL": url, "LLM_MODEL": "test-model"}, peer.program)


@contextmanager
def tls(folder: Path) -> Iterator[Peer]:
    """TLS with a certificate of our own, which SSL_CERT_FILE names."""
    with ScoreServer(latency=0.02) as behind, _tls(folder, behind) as program:
        yield Peer({**_asks(program.url), "SSL_CERT_FILE": f"{folder}/cert.pem"}, program)


@contextmanager
def _tls(folder: Path, behind: ScoreServer) -> Iterator[_Nginx]:
    if not shutil.which("openssl"):
        raise Absent("openssl is not installed")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    named = f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
    with _before(folder, behind, "", named, "https") as program:
        yield program


@contextmanager
def proxy(folder: Path) -> Iterator[Peer]:
    """A proxy that HTTPS_PROXY names (proxy.py), before a server with TLS."""
    _needs(SERVE, "proxy")
    port = free_port()
    command = [SERVE / "proxy", "--hostname", "127.0.0.1", "--port", port]
    with ExitStack() as stack:
        behind = stack.enter_context(ScoreServer(latency=0.02))
        server = stack.enter_context(_tls(folder, behind))
        program = stack.enter_context(Program(folder, port, [*command, "--num-workers", 1]))
        environ = {
            **_asks(server.url),
            "SSL_CERT_FILE": f"{folder}/cert.pem",
            "HTTPS_PROXY": f"http://127.0.0.1:{port}",
        }

        def check() -> None:
            assert "CONNECT 127.0.0.1" in program.said.read_text(), "the proxy was gone around"

        yield Peer(environ, program, check=check)


@contextmanager
def no_proxy(folder: Path) -> Iterator[Peer]:
    """NO_PROXY names the server, and the proxy does not answer."""
    with tls(folder) as peer:
        gone = f"http://127.0.0.1:{free_port()}"
        yield Peer({**peer.environ, "HTTPS_PROXY": gone, "NO_PROXY": "127.0.0.1"}, peer.program)


@contextmanager
def litellm(folder: Path, limits: str = "") -> Iterator[Peer]:
    """A litellm proxy with its master key."""
    _needs(LITELLM, "litellm")
    port, file = free_port(), folder / "litellm.yaml"
    with ScoreServer(latency=0.02) as behind:
        file.write_text(
            "model_list:\n  - model_name: test-model\n    litellm_params:\n"
            f"      model: openai/test-model\n      api_base: {behind.url}\n      api_key: sk-x\n"
            f"{limits}general_settings:\n  master_key: {KEY}\n"
        )
        command = [LITELLM / "litellm", "--config", file, "--host", "127.0.0.1"]
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        with Program(folder, port, [*command, "--port", port], quiet) as program:
            yield Peer(_asks(f"http://127.0.0.1:{port}/v1"), program)


@contextmanager
def litellm_rpm(folder: Path) -> Iterator[Peer]:
    """The same, which takes 20 requests a minute of the model."""
    with litellm(
        folder, "      rpm: 20\nrouter_settings:\n  enforce_model_rate_limits: true\n"
    ) as p:
        yield p


@contextmanager
def llama_cpp(folder: Path) -> Iterator[Peer]:
    """llama.cpp's server with SmolLM2-135M-Instruct."""
    if not Path(LLAMA).is_file():
        raise Absent("LLMATTN_LOCAL_LLM names no script that serves llama.cpp")
    python = OUTER.get("LLMATTN_LOCAL_LLM_PYTHON", SERVE / "python")
    port = free_port()
    with Program(folder, port, [python, LLAMA, "--port", port, "--api-key", KEY]) as program:
        url = f"http://127.0.0.1:{port}/v1"
        yield Peer(_asks(url, "SmolLM2-135M-Instruct"), program, model=True)


@contextmanager
def transformers_serve(folder: Path) -> Iterator[Peer]:
    """``transformers serve`` with a tiny model of random weights."""
    _needs(SERVE, "transformers")
    from support_transformers import save_model

    model = save_model(folder / "tiny")
    described = json.loads((model / "tokenizer_config.json").read_text())
    described["chat_template"] = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps(described))
    port = free_port()
    command = [SERVE / "transformers", "serve", model, "--device", "cpu"]
    where = ["--host", "127.0.0.1", "--port", port]
    with Program(folder, port, [*command, *where], {"HF_HUB_OFFLINE": "1"}) as program:
        yield Peer(_asks(f"http://127.0.0.1:{port}/v1", str(model)), program, model=True)


def _needs(folder: Path, program: str) -> None:
    if not (folder / program).is_file():
        raise Absent(f"{program} is not installed in {folder.parent}: make test-peers does it")


PEERS = {
    "nginx, gzip": nginx_gzip,
    "nginx, 502 for one request of four": nginx_502,
    "nginx, bodies of 4 kB": nginx_small,
    "nginx, bodies of 1 kB": nginx_tiny,
    "nginx, 4 requests a second": nginx_rate,
    "nginx, basic authentication": nginx_basic,
    "TLS, `SSL_CERT_FILE`": tls,
    "proxy.py, `HTTPS_PROXY`": proxy,
    "`NO_PROXY`": no_proxy,
    "litellm proxy, master key": litellm,
    "litellm proxy, 20 requests a minute": litellm_rpm,
    "llama.cpp, SmolLM2-135M": llama_cpp,
    "transformers serve, tiny model": transformers_serve,
}
