"""A ``.env`` is read only if nobody else can have written it, and as it stands."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from llmattn.dotenv_file import read_dotenv
from llmattn.errors import ConfigError
from llmattn.settings import environment
from llmattn.testing.server import ScoreServer
from support_trust import KEYS, Stranger, command

SCORE = ("score", "corpus.txt", "--provider", "custom")
SOMEBODY = 54321

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder, below one in which a ``.env`` may lie."""
    below = tmp_path / "work"
    below.mkdir()
    (below / "corpus.txt").write_text("the cat eats fish .\nthe dog eats meat .\n" * 5)
    return below


def plant(path: Path, url: str, more: str = "") -> Path:
    path.write_text(f"CUSTOM_BASE_URL={url}\nLLM_MODEL=test-model\n{more}")
    path.chmod(0o600)
    return path


@as_root
@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("what", ["file", "link"])
def test_one_of_another_user_is_not_read(folder: Path, above: bool, what: str) -> None:
    place = folder.parent if above else folder
    with Stranger() as stranger:
        if what == "file":
            os.chown(plant(place / ".env", stranger.url), SOMEBODY, SOMEBODY)
        else:  # to a file of ours, which another user has chosen for us
            (place / ".env").symlink_to(plant(place / "other", stranger.url))
            os.chown(place / ".env", SOMEBODY, SOMEBODY, follow_symlinks=False)
        done = command(folder, *SCORE)
        assert stranger.seen == []
    assert done.returncode == 3
    assert f"{place / '.env'} is not read: it belongs to another user" in done.stderr
    assert f"chown {os.geteuid()} {place / '.env'}" in done.stderr
    assert done.stderr.count("is not read") == 1
    assert "custom needs its base url" in done.stderr


@pytest.mark.parametrize(
    "mode", [0o602, 0o666, *(pytest.param(mode, marks=as_root) for mode in (0o620, 0o664))]
)
def test_one_that_others_may_write_is_not_read(folder: Path, mode: int) -> None:
    with Stranger() as stranger:
        path = plant(folder / ".env", stranger.url)
        path.chmod(mode)
        done = command(folder, *SCORE)
        assert stranger.seen == []
    assert f"{path} is not read: other users may write it" in done.stderr
    assert f"chmod go-w {path}" in done.stderr


@as_root
@pytest.mark.parametrize(("group", "read"), [("daemon", {"LLM_MODEL": "one"}), ("mail", {})])
def test_one_that_only_the_owners_own_group_may_write_is_read(
    group: str, read: dict[str, str]
) -> None:
    import grp
    import pwd

    user = pwd.getpwnam("daemon")
    with TemporaryDirectory() as folder:  # pytest's own is for root alone
        os.chmod(folder, 0o755)
        path = Path(folder, ".env")
        path.write_text("LLM_MODEL=one\n")
        path.chmod(0o600)
        assert read_dotenv(path)  # what reading needs is loaded now: that user may not read it
        path.chmod(0o664)
        os.chown(path, user.pw_uid, grp.getgrnam(group).gr_gid)
        os.seteuid(user.pw_uid)
        try:
            found = read_dotenv(path)
        finally:
            os.seteuid(0)
    assert found == read


@pytest.mark.parametrize("sticky", [False, True])
def test_one_in_a_folder_of_everybody_is_read_only_if_nobody_can_replace_it(
    folder: Path, sticky: bool
) -> None:
    with ScoreServer() as server:
        plant(folder / ".env", server.url)
        folder.chmod(0o1777 if sticky else 0o777)
        done = command(folder, *SCORE)
        assert bool(server.log.requests) is sticky
    assert ("any user may put another file in its place" in done.stderr) is not sticky


def test_one_that_is_not_read_leaves_none_further_up_in_its_place(folder: Path) -> None:
    with ScoreServer() as server:
        plant(folder.parent / ".env", server.url)
        plant(folder / ".env", server.url).chmod(0o666)
        assert command(folder, *SCORE).returncode == 3
        assert not server.log.requests


def test_an_own_one_is_read_and_its_address_told_once(folder: Path) -> None:
    with ScoreServer() as server:
        path = plant(folder.parent / ".env", server.url)
        done = command(folder, *SCORE)
        assert done.returncode == 0, done.stderr
        assert server.log.requests
    told = f"asking {server.url}, from CUSTOM_BASE_URL in {path}"
    assert done.stderr.count(told) == 1


def test_a_folder_of_that_name_is_passed_over(folder: Path) -> None:
    (folder / ".env").mkdir()
    with ScoreServer() as server:
        plant(folder.parent / ".env", server.url)
        assert command(folder, *SCORE).returncode == 0


@pytest.mark.parametrize("form", ["${OPENAI_API_KEY}", "${OPENAI_API_KEY:-x}", "a${HOME}b"])
@pytest.mark.parametrize("variable", ["CUSTOM_BASE_URL", "LLM_MODEL", "CUSTOM_API_KEY"])
def test_no_key_becomes_part_of_another_value(folder: Path, form: str, variable: str) -> None:
    with Stranger() as stranger:
        value = f"{stranger.url}/{form}" if variable == "CUSTOM_BASE_URL" else form
        plant(folder / ".env", stranger.url, f"{variable}={value}\n")
        done = command(folder, *SCORE, environ={"OPENAI_API_KEY": KEYS["OPENAI_API_KEY"]})
        assert stranger.seen == []
    assert done.returncode == 3
    assert f"{variable} in {folder / '.env'} holds ${{...}}" in done.stderr
    assert KEYS["OPENAI_API_KEY"] not in done.stdout + done.stderr


def test_what_looks_like_an_expansion_elsewhere_is_taken_as_it_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PLANTED_KEY", "sk-planted")
    (folder / ".env").write_text('A=$PLANTED_KEY\nB="${PLANTED_KEY}"\nC=`cat /etc/passwd`\n')
    (folder / ".env").chmod(0o600)
    found = environment()
    assert (found["A"], found["B"]) == ("$PLANTED_KEY", "${PLANTED_KEY}")
    assert found["C"] == "`cat /etc/passwd`"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("LLM_PROVIDER=opnai", "LLM_PROVIDER in {path}: No provider is called 'opnai'"),
        ("CUSTOM_BASE_URL=ftp://host", "(from CUSTOM_BASE_URL in {path})"),
        ("CUSTOM_BASE_URL=http://host:port/v1", "(from CUSTOM_BASE_URL in {path})"),
    ],
)
def test_a_wrong_value_is_told_with_the_files_path(folder: Path, line: str, told: str) -> None:
    path = folder / ".env"
    path.write_text(f"LLM_PROVIDER=custom\nLLM_MODEL=test-model\n{line}\n")
    path.chmod(0o600)
    done = command(folder, "score", "corpus.txt")
    assert done.returncode == 3
    assert told.format(path=path) in done.stderr


def test_a_file_that_is_no_text_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / ".env").write_bytes(b"\xff\xfeL\x00")
    (folder / ".env").chmod(0o600)
    with pytest.raises(ConfigError, match=r"\.env cannot be read"):
        environment()
