"""The environment of the tests, built up from nothing, so that nobody's keys, proxies or settings
reach them; conftest.py puts it in place before any test module is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

OUTER: Mapping[str, str] = dict(os.environ)
"""The environment that pytest was started in: for what must know the machine it runs on."""

# Where programs and libraries are, what make says of idle threads, and what coverage needs to
# follow the processes that a test starts.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "OMP_WAIT_POLICY", "COVERAGE_PROCESS_START")

_OWN = {
    "COLUMNS": "200",  # wide enough that no message is broken
    "LANG": "C.UTF-8",
    "NO_COLOR": "1",
    "OMP_NUM_THREADS": "1",  # tiny models: a second thread only costs
}


def built_up(home: Path, outer: Mapping[str, str] = OUTER) -> dict[str, str]:
    """The whole environment of a test whose user lives in ``home``."""
    kept = {name: outer[name] for name in _KEPT if name in outer}
    return {**kept, **_OWN, "HOME": str(home)}


@contextmanager
def own_environment(prefix: str) -> Iterator[Path]:
    """A new folder, for a program of the tests' own that puts the environment in place itself."""
    with TemporaryDirectory(prefix=prefix) as name:
        folder = Path(name)
        environ = built_up(folder / "home")
        os.environ.clear()
        os.environ.update(environ)
        shield(folder)
        yield folder


def shield(folder: Path) -> None:
    """Ends llmattn's search for its files from below ``folder`` here: these say nothing."""
    for name in (".env", "llmattn.toml"):
        (folder / name).touch(mode=0o600)  # nobody else's, whatever the umask
