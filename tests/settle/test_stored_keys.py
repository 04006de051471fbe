"""Keys that llmattn keeps: stored, used, listed and forgotten, and never shown."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from llmattn.testing.server import ScoreServer
from support_cli import Done
from support_settle import command, own_folder, process, write

KEY = "sk-planted-stored-5417"
RING = '''
import json, os
from pathlib import Path
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError


class Ring(KeyringBackend):
    """A keyring in a file, as a desktop has one."""

    priority = 5
    file = Path(os.environ["RING"])

    def _all(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def get_password(self, service, name):
        return self._all().get(f"{service}/{name}")

    def set_password(self, service, name, password):
        self.file.write_text(json.dumps({**self._all(), f"{service}/{name}": password}))

    def delete_password(self, service, name):
        kept = self._all()
        if kept.pop(f"{service}/{name}", None) is None:
            raise PasswordDeleteError(name)
        self.file.write_text(json.dumps(kept))
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text("the cat eats fish .\nthe dog eats meat .\n" * 5)
    return tmp_path


def keep(folder: Path, name: str = "custom", key: str = KEY, **environ: str) -> Done:
    return command(folder, "keys", "set", name, "--file", stdin=f"{key}\n", **environ)


def score(folder: Path, url: str, **environ: str) -> Done:
    words = ("score", "corpus.txt", "-p", "custom", "--model", "test-model")
    return command(folder, *words, CUSTOM_BASE_URL=url, **environ)


@pytest.mark.parametrize("name", ["custom", "CUSTOM_API_KEY"])
def test_a_stored_key_is_sent_to_its_provider(folder: Path, name: str) -> None:
    done = keep(folder, name)
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    file = own_folder(folder) / "keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with ScoreServer(api_key=KEY) as server:
        done = score(folder, server.url)
        assert done.returncode == 0, done.stderr


def test_the_environment_and_a_dotenv_go_before_a_stored_key(folder: Path) -> None:
    keep(folder, key="sk-another-0815")
    with ScoreServer(api_key=KEY) as server:
        assert score(folder, server.url).returncode == 4
        assert score(folder, server.url, CUSTOM_API_KEY=KEY).returncode == 0
        write(folder / ".env", f"CUSTOM_API_KEY={KEY}\n")
        assert score(folder, server.url).returncode == 0
        assert "As long as CUSTOM_API_KEY in" in keep(folder).stdout


def test_a_stored_key_chooses_its_provider_as_a_set_one_does(folder: Path) -> None:
    keep(folder, "openai")
    done = command(folder, "plan", "corpus.txt")
    assert "openai" in done.stdout + done.stderr
    assert "No LLM provider is set up" not in done.stderr


def test_keys_are_listed_with_their_place_and_forgotten(folder: Path) -> None:
    keep(folder)
    done = command(folder, "keys", "list", "--json", OPENAI_API_KEY=KEY)
    where = {row["key"]: row["where"] for row in json.loads(done.stdout)["keys"]}
    assert where["CUSTOM_API_KEY"] == str(own_folder(folder) / "keys.json")
    assert where["OPENAI_API_KEY"] == "OPENAI_API_KEY"
    assert where["CEREBRAS_API_KEY"] == "not set"
    assert KEY not in done.stdout + command(folder, "keys", "list").stdout
    assert command(folder, "keys", "remove", "custom").returncode == 0
    assert KEY not in (own_folder(folder) / "keys.json").read_text()
    assert command(folder, "keys", "remove", "custom").returncode == 3


@pytest.mark.parametrize("words", [(KEY,), ("--", KEY), (f"--key={KEY}",)])
def test_a_key_as_an_argument_is_refused_and_not_shown(
    folder: Path, words: tuple[str, ...]
) -> None:
    done = command(folder, "keys", "set", "custom", *words)
    assert done.returncode == 3
    assert KEY not in done.stdout + done.stderr
    assert "asked for" in done.stderr
    assert not (own_folder(folder) / "keys.json").exists()


@pytest.mark.parametrize("text", ["", "\n", "  \n", "sk-\x1b[2J\n", "k" * 10_001])
def test_what_is_no_key_is_refused(folder: Path, text: str) -> None:
    done = command(folder, "keys", "set", "custom", "--file", stdin=text)
    assert done.returncode == 3
    assert "No key was read" in done.stderr


def test_a_name_that_no_plugin_has_is_refused_with_those_that_there_are(folder: Path) -> None:
    done = keep(folder, "nobody")
    assert done.returncode == 3
    assert "CUSTOM_API_KEY" in done.stderr


def test_a_file_that_others_may_write_is_not_read_and_one_they_may_read_is_told(
    folder: Path,
) -> None:
    keep(folder)
    file = own_folder(folder) / "keys.json"
    with ScoreServer(api_key=KEY) as server:
        file.chmod(0o644)
        done = score(folder, server.url)
        assert done.returncode == 0, done.stderr
        assert f"chmod 600 {file}" in done.stderr
        file.chmod(0o666)
        done = score(folder, server.url, LLMATTN_CACHE_DIR=str(folder / "empty"))
        assert done.returncode == 4
        assert f"{file} is not read" in done.stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"CUSTOM_API_KEY": 5}'])
def test_a_damaged_file_is_told_with_its_remedy(folder: Path, text: str) -> None:
    write(own_folder(folder) / "keys.json", text)
    done = score(folder, "http://127.0.0.1:9/v1")
    assert done.returncode == 3
    assert "is damaged: remove it" in done.stderr


def test_a_keyring_is_used_where_there_is_one(folder: Path) -> None:
    pytest.importorskip("keyring")
    (folder / "ring.py").write_text(RING)
    ring = {
        "PYTHONPATH": str(folder),
        "PYTHON_KEYRING_BACKEND": "ring.Ring",
        "RING": str(folder / "ring.json"),
    }
    done = process(folder, "keys", "set", "custom", stdin=f"{KEY}\n", **ring)
    assert done.stdout == "CUSTOM_API_KEY is stored in the keyring.\n", done.stderr
    assert json.loads((folder / "ring.json").read_text()) == {"llmattn/CUSTOM_API_KEY": KEY}
    assert KEY not in (own_folder(folder) / "keys.json").read_text()
    with ScoreServer(api_key=KEY) as server:
        words = ("score", "corpus.txt", "-p", "custom", "--model", "test-model")
        done = process(folder, *words, CUSTOM_BASE_URL=server.url, **ring)
        assert done.returncode == 0, done.stderr
        gone = {**ring, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
        done = process(folder, *words, CUSTOM_BASE_URL=server.url, **gone)
        assert done.returncode == 3
        assert "is in the system's keyring, which does not give it" in done.stderr
    assert process(folder, "keys", "remove", "custom", **ring).returncode == 0
    assert json.loads((folder / "ring.json").read_text()) == {}
