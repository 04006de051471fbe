"""The kit from the shell, and the fixtures that pytest finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_cli import run_cli
from support_plugins import install, run

PLUGIN = """
import numpy as np
from attrs import frozen
from llmattn.hookspecs import hookimpl
from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Scope

@frozen
class Settings:
    pass

class Short:
    scope, channels, limits, local, absent_score = Scope.PAIR, ("one",), Limits(), LOCAL, None

    def __init__(self, settings):
        pass

    def identity(self):
        return Identity("short", 1, self.scope, self.channels)

    async def score(self, rows):
        return Reply([np.zeros((1, min(len(row.keys), 64)), np.float32) for row in rows])

    async def aclose(self):
        pass

@hookimpl
def llmattn_register_providers(registry):
    registry.add("short", Short, Settings, "for a test")
"""


def test_a_sound_plugin_is_told_to_be_so(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "check-plugin", "cooccurrence")
    assert (done.returncode, done.stderr) == (0, "")
    assert "passed       another process\n" in done.stdout
    assert done.stdout.endswith("Nothing was found.\n")


def test_a_fault_is_told_within_80_columns_and_ends_with_1(tmp_path: Path) -> None:
    install(tmp_path / "site", "llmattn-short", "short", PLUGIN.replace("LOCAL", "True"))
    done = run(tmp_path / "site", "check-plugin", "short")
    assert done.returncode == 1
    assert "failed       large requests" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_provider_that_may_cost_money_is_not_asked_unbidden(tmp_path: Path) -> None:
    install(tmp_path / "site", "llmattn-short", "short", PLUGIN.replace("LOCAL", "False"))
    done = run(tmp_path / "site", "check-plugin", "short")
    assert done.returncode == 3
    assert "may ask a server that costs money" in done.stderr


def test_a_name_that_nothing_registers_is_told_in_one_line(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "check-plugin", "nowhere")
    assert done.returncode == 3
    assert "No provider is called 'nowhere'" in done.stderr


def test_a_plugins_tests_have_a_cache_a_server_and_a_clean_environment(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import os, urllib.request
        from llmattn.rows import Row

        def test_environment(llmattn_environment):
            assert "OPENAI_API_KEY" not in os.environ
            assert os.getcwd() == str(llmattn_environment)

        def test_cache_and_server(llmattn_cache, llmattn_server):
            assert llmattn_cache.namespaces() == []
            assert urllib.request.urlopen(llmattn_server.url + "/models").status == 200
        """
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-of-the-user")
        done = pytester.runpytest_subprocess("-q", "-p", "no:randomly")
    done.assert_outcomes(passed=2)
