"""Every test runs in a built-up environment, in a folder that no foreign ``.env`` is seen from."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support_environment import built_up, shield

pytest_plugins = ["pytester"]


@pytest.hookimpl(trylast=True)  # pytest itself has read its own variables by then
def pytest_configure(config: pytest.Config) -> None:
    """Build up the environment before test modules are imported: libraries read it when loaded."""
    if config.getoption("dist", "no") != "no":
        return  # the workers do it: they see the outer environment too
    home = TemporaryDirectory(prefix="llmattn-home-")
    patch = pytest.MonkeyPatch()
    wanted = built_up(Path(home.name))
    for name in set(os.environ) - set(wanted):
        # pytest keeps its own books there
        if not name.startswith(("PYTEST_VERSION", "PYTEST_XDIST_")):
            patch.delenv(name)
    for name, value in wanted.items():
        patch.setenv(name, value)
    os.umask(0o022)  # a .env that the group may write would not be read
    config.add_cleanup(home.cleanup)
    config.add_cleanup(patch.undo)


@pytest.fixture(scope="session", autouse=True)
def _away_from_any_dotenv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests start in pytest's temporary folder, and what they write is below it."""
    folder = tmp_path_factory.getbasetemp()
    shield(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Gives the notices since the last call, a line each."""
    caplog.set_level(logging.INFO, "llmattn")

    def messages() -> str:
        lines = "".join(f"{message}\n" for message in caplog.messages)
        caplog.clear()
        return lines

    return messages


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have counted, from whichever process they ran in."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, counts in report.user_properties:
                if name == "counts":
                    terminalreporter.write_line(str(counts).rstrip())
