"""The stranger: whatever a file says, no request and no key goes to an address that it names."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from llmattn.cache.open import open_cache
from llmattn.feeds.table import ScoreTable
from llmattn.identity import Identity
from llmattn.plugins import load_plugins
from llmattn.rows import Row
from llmattn.testing.server import ScoreServer
from support_cli import FAILED
from support_engine import SMALL, write_corpus
from support_providers import NAMES, make
from support_trust import KEYS, Stranger, altered, command

SCORES = {"pair": (), "prefix": ("-o", "random.scope=prefix")}
ASKED = "${OPENAI_API_KEY} $OPENAI_API_KEY {env[OPENAI_API_KEY]}"
"""Expansions that a stranger may hope for."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: a text, a cache, and a checkpoint of each kind of scores."""
    folder = tmp_path_factory.mktemp("user")
    write_corpus(folder)
    for scope, options in SCORES.items():
        run = ("train", "--corpus", "corpus.txt", "--steps", "2", "--block-size", "8", *SMALL)
        scored = ("--provider", "random", *options, "--out", f"{scope}.pt")
        done = command(folder, *run, *scored)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with Stranger() as server:
        yield server
        assert [request.text for request in server.seen] == []


def foreign(name: str, scope: str, url: str) -> Identity:
    """What the provider ``name`` would say of itself if it asked the server at ``url``."""
    provider = make(name, url, scope=scope)
    identity: Identity = provider.identity()
    return identity


def planted(folder: Path, name: str, scope: str, url: str) -> Path:
    """A checkpoint that says that its scores come from ``name`` at ``url``, and cost nothing."""

    def change(data: dict[str, Any]) -> None:
        identity = foreign(name, scope, url).to_dict()
        data["scored"] = [{**data["scored"][0], "identity": identity, "local": True}]
        data["corpus"] = "corpus.txt"
        if data["table"]:  # of which every pair is missing
            state = data["table"]
            table = ScoreTable.from_state(
                state, vocab_size=state["vocab_size"], channels=len(state["channels"])
            )
            known = attrs.evolve(
                table.known,
                query_ids=table.known.query_ids[:0],
                key_ids=table.known.key_ids[:0],
                scores=table.known.scores[:, :0],
            )
            data["table"] = ScoreTable(
                known, vocab_size=table.vocab_size, channels=table.channels, absent=table.absent
            ).state()

    return altered(folder / f"{scope}.pt", change, folder / f"{name}-{scope}.pt")


READERS: dict[str, tuple[str, ...]] = {
    "sample": ("sample", "--prompt", "the cat", "--max-new", "3", "--checkpoint", "FILE"),
    "sample, asking": ("sample", "--ask", "--prompt", "the cat", "--checkpoint", "FILE"),
    "eval": ("eval", "FILE", "corpus.txt"),
    "eval, asking": ("eval", "FILE", "corpus.txt", "--ask"),
    "show": ("show", "FILE"),
    "show, asking": ("show", "FILE", "--ask"),
    "show a text": ("show", "FILE", "--text", "the cat sees"),
    "resume": ("train", "--resume", "--steps", "3", "--out", "FILE"),
    "export": ("export", "FILE", "--safetensors", "exported"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("scope", SCORES)
@pytest.mark.parametrize("name", NAMES)
def test_no_checkpoint_names_who_is_asked(
    folder: Path, stranger: Stranger, name: str, scope: str, reader: str
) -> None:
    path = planted(folder, name, scope, stranger.url)
    done = command(folder, *(str(path) if word == "FILE" else word for word in READERS[reader]))
    printed = done.stdout + done.stderr
    assert "a fault in llmattn" not in printed
    assert not [key for key in KEYS.values() if key in printed]
    opens = (scope == "prefix" and reader != "export") or reader == "sample, asking"
    assert (done.returncode == 0) is not opens, printed
    if opens:
        assert f"-o {name}.base_url={stranger.url}" in done.stderr


@pytest.mark.parametrize(
    "told", ["http://[", "http://host:99999/v1", "x://\x1b[2J", "${OPENAI_API_KEY}", "a" * 9999, 7]
)
def test_a_senseless_address_of_a_checkpoint_is_told_harmlessly(folder: Path, told: object) -> None:
    def change(data: dict[str, Any]) -> None:
        identity = foreign("custom", "prefix", "http://127.0.0.1:9/v1").to_dict()
        identity["details"]["base_url"] = told
        data["scored"] = [{**data["scored"][0], "identity": identity}]

    path = altered(folder / "prefix.pt", change, folder / "senseless.pt")
    words = [str(path) if word == "FILE" else word for word in READERS["sample, asking"]]
    for own in ({}, {"CUSTOM_BASE_URL": "http://127.0.0.1:9/v1", "LLM_MODEL": "m"}):
        done = command(folder, *words, environ={**KEYS, **own})
        assert done.returncode in FAILED
        assert "a fault in llmattn" not in done.stderr
        assert all(line.isprintable() for line in done.stderr.split("\n"))
        assert len(done.stderr) < 2000
        assert not [key for key in KEYS.values() if key in done.stderr]


@pytest.mark.parametrize("scope", SCORES)
@pytest.mark.parametrize("reader", ["sample", "eval, asking", "show", "show a text"])
def test_no_exported_folder_names_who_is_asked(
    folder: Path, stranger: Stranger, scope: str, reader: str
) -> None:
    path = planted(folder, "openai", scope, stranger.url)
    target = f"folder-{scope}"
    assert command(folder, "export", path, "--safetensors", target).returncode == 0
    assert stranger.url in (folder / target / "config.json").read_text()
    command(folder, *(target if word == "FILE" else word for word in READERS[reader]))


@pytest.mark.parametrize("command_line", ["sample", "eval, asking", "resume"])
def test_a_checkpoint_that_names_a_users_server_gets_nothing_without_the_users_word(
    folder: Path, command_line: str
) -> None:
    """The user's own server is asked only if the user says so here and now."""
    with ScoreServer() as server:
        path = planted(folder, "custom", "prefix", server.url)
        words = [str(path) if word == "FILE" else word for word in READERS[command_line]]
        own = {**KEYS, "CUSTOM_BASE_URL": server.url, "LLM_MODEL": "test-model"}
        refused = command(folder, *words, environ=own)
        assert refused.returncode in FAILED
        assert "scope was 'prefix', is 'pair' (the default)" in refused.stderr
        assert not server.log.requests
        agreed = command(folder, *words, "--scope", "prefix", environ=own)
        assert (agreed.returncode in FAILED) is (command_line == "resume"), agreed.stderr
        assert bool(server.log.requests) is (command_line == "eval, asking")


@pytest.mark.parametrize("reader", ["eval", "show", "show a text", "resume"])
def test_a_paid_provider_is_not_asked_without_ask(folder: Path, reader: str) -> None:
    with ScoreServer() as server:
        path = planted(folder, "custom", "prefix", server.url)
        words = [str(path) if word == "FILE" else word for word in READERS[reader]]
        own = {**KEYS, "CUSTOM_BASE_URL": server.url, "LLM_MODEL": "test-model"}
        more = ("--scope", "prefix", "--cache-dir", "nothing-cached")
        # Another provider is the user's, so that a resumed run may not ask this one either.
        done = command(folder, *words, *more, environ={**own, "LLM_PROVIDER": "random"})
        assert done.returncode in FAILED, done.stdout + done.stderr
        assert "--ask (train --resume: --provider NAME)" in done.stderr
        assert not server.log.requests


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    """What stands for Hugging Face's hub."""
    with Stranger(lambda request: (404, {}, b"")) as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield server


@pytest.mark.parametrize("reader", ["sample", "sample, asking", "eval", "show a text", "resume"])
def test_no_checkpoint_has_a_model_fetched_that_a_variable_names_for_another_provider(
    folder: Path, hub: Stranger, reader: str
) -> None:
    def change(data: dict[str, Any]) -> None:
        data["scored"][0]["identity"].update(provider="transformers")
        data["corpus"] = "corpus.txt"

    path = altered(folder / "prefix.pt", change, folder / "fetching.pt")
    words = [str(path) if word == "FILE" else word for word in READERS[reader]]
    done = command(folder, *words, environ={**KEYS, "LLM_MODEL": "some/model"})
    assert done.returncode in FAILED
    assert "'some/model' (it is not on this machine)" in done.stderr
    assert not hub.seen
    if reader == "sample":  # the user's own word
        assert command(folder, *words, "--model", "some/model").returncode in FAILED
        assert hub.seen


def test_no_checkpoint_says_that_a_provider_is_local(folder: Path, stranger: Stranger) -> None:
    """Asked without --ask are those whose installed class is local, whoever set them up."""
    path = planted(folder, "custom", "pair", stranger.url)
    agreeing = {**KEYS, "CUSTOM_BASE_URL": stranger.url, "LLM_MODEL": "test-model"}
    words = [str(path) if word == "FILE" else word for word in READERS["sample"]]
    assert command(folder, *words, environ=agreeing).returncode == 0


@pytest.mark.parametrize("name", ["openai", "cerebras", "custom", "transformers"])
def test_a_chat_provider_is_not_local_and_one_on_this_machine_is(name: str) -> None:
    assert load_plugins().provider(name).local is (name == "transformers")


@pytest.mark.parametrize("name", ["cerebras", "custom"])
def test_nothing_of_one_account_goes_to_another_provider(tmp_path: Path, name: str) -> None:
    (tmp_path / "corpus.txt").write_text("the cat sees the dog .\n" * 8)
    others = ("ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET", "CUSTOM_HEADERS")
    account = {f"OPENAI_{other}": f"planted-{other}" for other in others}
    with Stranger() as server:
        own = {**KEYS, **account, f"{name.upper()}_BASE_URL": server.url, "LLM_MODEL": "m"}
        asked = ("--provider", name, "--max-requests", "1")
        command(tmp_path, "score", "corpus.txt", *asked, environ=own)
    sent = "".join(request.text for request in server.seen)
    mine = f"{name.upper()}_API_KEY"
    assert KEYS[mine] in sent
    foreign_keys = [key for variable, key in KEYS.items() if variable != mine]
    assert not [text for text in (*foreign_keys, *account.values()) if text in sent]


@pytest.mark.parametrize("kind", ["outside", "pipe", "link"])
@pytest.mark.parametrize("reader", ["show", "resume"])
def test_no_checkpoint_names_a_text_that_is_read_from_elsewhere(
    folder: Path, tmp_path: Path, kind: str, reader: str
) -> None:
    place = tmp_path / "private.txt"
    if kind == "pipe":  # opening it would wait for ever
        place = folder / "pipe"
        place.unlink(missing_ok=True)
        os.mkfifo(place)
    else:
        place.write_text("my diary\n" * 40)
    if kind == "link":
        link = folder / "link.txt"
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        place = link

    def change(data: dict[str, Any]) -> None:
        data["corpus"] = str(place)

    path = altered(folder / "pair.pt", change, folder / "elsewhere.pt")
    done = command(folder, *(str(path) if word == "FILE" else word for word in READERS[reader]))
    assert done.returncode == (0 if reader == "show" else 1)
    assert f"add --corpus {place}" in done.stderr


def test_a_resumed_run_is_told_the_provider_by_the_user_alone(
    folder: Path, stranger: Stranger
) -> None:
    path = planted(folder, "custom", "prefix", stranger.url)
    words = ("train", "--resume", "--steps", "3", "--out", path)
    done = command(folder, *words, "--provider", "custom", "--scope", "prefix")
    assert done.returncode in FAILED
    assert "CUSTOM_BASE_URL" in done.stderr


@pytest.mark.parametrize("name", ["planted.jsonl", "planted.parquet"])
def test_no_export_of_a_cache_names_who_is_asked(
    folder: Path, tmp_path: Path, stranger: Stranger, name: str
) -> None:
    (tmp_path / "corpus.txt").write_text((folder / "corpus.txt").read_text())
    theirs = open_cache("lmdb", cache_dir=tmp_path / "theirs")
    for provider in NAMES:
        identity = foreign(provider, "pair", stranger.url)
        rows = [Row("the", ("cat", ASKED))]
        theirs.put(identity, rows, [torch.rand(1, 2).numpy()])
    theirs.close()
    exported = command(tmp_path, "cache", "export", name, "--cache-dir", "theirs")
    assert exported.returncode == 0, exported.stderr
    assert command(tmp_path, "cache", "import", name).returncode == 0
    _read_the_cache(tmp_path)


def test_no_cache_names_who_is_asked(folder: Path, tmp_path: Path, stranger: Stranger) -> None:
    (tmp_path / "corpus.txt").write_text((folder / "corpus.txt").read_text())
    cache = open_cache("lmdb", cache_dir=tmp_path / "scores")
    for provider in NAMES:
        identity = foreign(provider, "pair", stranger.url)
        cache.put(identity, [Row("the", ("cat", ASKED))], [torch.rand(1, 2).numpy()])
    cache.close()
    _read_the_cache(tmp_path)


def _read_the_cache(folder: Path) -> None:
    """Every command that reads a cache; no key shows up."""
    (folder / "empty").mkdir()
    for words in (
        ("cache", "ls"),
        ("cache", "stats"),
        ("cache", "show", "openai", "the"),
        ("cache", "verify"),
        ("cache", "export", "again.jsonl"),
        ("cache", "merge", "scores", "--cache-dir", "merged"),
        ("cache", "purge", "openai", "--yes"),
        ("plan", "corpus.txt", "--provider", "openai"),
        ("train", "--corpus", "corpus.txt", "--provider", "random", "--steps", "1", *SMALL),
        ("sample", "--prompt", "the cat", "--max-new", "2"),
    ):
        done = command(folder, *words)
        printed = done.stdout + done.stderr
        assert "a fault in llmattn" not in printed
        assert not [key for key in KEYS.values() if key in printed]


def test_no_packed_scores_name_who_is_asked(folder: Path, stranger: Stranger) -> None:
    files = list((folder / "scores").rglob("*.tri"))
    assert files
    tail = struct.Struct("<QI16s")  # length and checksum of the description before it, a mark
    for path in files:
        data = path.read_bytes()
        length, _, mark = tail.unpack(data[-tail.size :])
        start = len(data) - tail.size - length
        described = json.loads(data[start : -tail.size])
        described["key"]["identity"] = foreign("openai", "prefix", stranger.url).to_dict()
        text = json.dumps(described).encode()
        path.write_bytes(data[:start] + text + tail.pack(len(text), zlib.crc32(text), mark))
    done = command(folder, "eval", "prefix.pt", "corpus.txt", *SCORES["prefix"])
    assert done.returncode == 0, done.stderr


def test_no_comparison_folder_names_who_is_asked(folder: Path, stranger: Stranger) -> None:
    words = ("compare", "corpus.txt", "--provider", "random", "--arms", "external,position")
    quick = ("--steps", "2", "--seeds", "1", "--lr", "1e-2", "--block-size", "8", "--jobs", "1")
    small = ("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--batch-size", "4")
    begun = command(folder, *words, *quick, *small, "--out", "compared")
    assert begun.returncode == 0, begun.stderr
    identity = foreign("openai", "pair", stranger.url).to_dict()
    for path in (folder / "compared").rglob("*.json"):
        data = json.loads(path.read_text())
        for part in (data, data.get("settings") or {}, data.get("about") or {}):
            part["scores"] = {"scored": [{"identity": identity, "local": True}]}
            part["command"] = f"llmattn compare -o openai.base_url={stranger.url} {ASKED}"
        path.write_text(json.dumps(data))
    again = command(folder, *words, *quick, *small, "--out", "compared")
    assert again.returncode == 0, again.stderr
    written = "".join(p.read_text() for p in (folder / "compared").rglob("*.[jm][sd]*"))
    assert not [key for key in KEYS.values() if key in again.stdout + again.stderr + written]


@pytest.mark.parametrize("name", ["pyproject.toml", "config.toml", "settings.json", ".env.local"])
def test_a_file_that_nobody_named_is_no_configuration(
    folder: Path, tmp_path: Path, stranger: Stranger, name: str
) -> None:
    (tmp_path / "corpus.txt").write_text((folder / "corpus.txt").read_text())
    told = f'provider = ["custom"]\noption = ["custom.base_url={stranger.url}"]\n'
    told += f'[arms.x]\noptions = {{ "custom.base_url" = "{stranger.url}" }}\n'
    (tmp_path / name).write_text(told + f"# CUSTOM_BASE_URL={stranger.url}\n")
    for words in (
        ("score", "corpus.txt"),
        ("train", "--corpus", "corpus.txt", "--steps", "1", *SMALL),
    ):
        assert command(tmp_path, *words, "--provider", "cooccurrence").returncode == 0


def test_no_text_and_no_criteria_expand_to_a_key(tmp_path: Path, stranger: Stranger) -> None:
    line = f"the cat {ASKED} sees {stranger.url} .\n"
    (tmp_path / "corpus.txt").write_text(line * 8)
    (tmp_path / "criteria.txt").write_text(f"own: how {ASKED} and {stranger.url}/x\n")
    with ScoreServer() as server:
        own = {**KEYS, "CUSTOM_BASE_URL": server.url, "LLM_MODEL": "test-model"}
        words = ("score", "corpus.txt", "--provider", "custom", "--criteria", "criteria.txt")
        for more in ((), ("--scope", "prefix")):
            done = command(tmp_path, *words, *more, environ=own)
            assert done.returncode == 0, done.stderr
        bodies = json.dumps([str(request) for request in server.log.requests])
    assert server.log.requests
    assert not [key for key in KEYS.values() if key in bodies + done.stdout + done.stderr]


def test_a_remembered_batch_names_no_other_file_or_batch(
    folder: Path, tmp_path: Path, stranger: Stranger
) -> None:
    (tmp_path / "corpus.txt").write_text((folder / "corpus.txt").read_text())
    with ScoreServer() as server:
        own = {**KEYS, "OPENAI_BASE_URL": server.url, "LLM_MODEL": "test-model"}
        namespace = foreign("openai", "pair", server.url).namespace
        place = tmp_path / "scores" / "batches" / namespace
        place.mkdir(parents=True)
        target = tmp_path / "scores" / "batches" / "mine.json"
        target.write_text("{}")
        said = {"batch_id": "../mine", "submitted": 1.0, "requests": []}
        (place / "batch.json").write_text(json.dumps(said))
        done = command(
            tmp_path, "score", "corpus.txt", "--provider", "openai", "--batch", environ=own
        )
    assert done.returncode in FAILED
    assert "does not describe a batch" in done.stderr
    assert target.exists()
    assert not server.log.requests
