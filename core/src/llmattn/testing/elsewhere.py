"""Work in another process, on another day: what a plugin does there has to be the same.

``python -m llmattn.testing.elsewhere`` reads a pickled call from its parent and answers with what
it gave. What is sent are classes and plain values; keys go through the pipe, and nowhere else.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from llmattn.errors import PluginError
from llmattn.secrets import Secret
from llmattn.testing.findings import NotChecked

try:
    import cloudpickle
    import time_machine
except ImportError as error:
    raise PluginError(
        f"The test kit needs {error.name}: pip install 'llmattn-core[testing]'"
    ) from error

__all__ = ["Child", "elsewhere"]

_LATER = 400 * 86400 + 5 * 3600 + 7 * 60
"""Seconds: another year, month, day, weekday, hour and minute."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Sends keys as well, which refuse to be pickled by accident."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Secret):
            return Secret, (obj.reveal(),)
        return super().reducer_override(obj)


class Child:
    """A process that makes one call. Raises NotChecked if the call cannot be sent."""

    def __init__(self, work: Callable[..., Any], *args: Any) -> None:
        data = io.BytesIO()
        try:
            _Pickler(data).dump((work, args))
        except Exception as error:
            raise NotChecked(f"it cannot be sent to another process: {error}") from None
        files = {
            name: file
            for name, module in list(sys.modules.items())
            if (file := getattr(module, "__file__", None)) and file.endswith(".py")
        }
        environ = {**os.environ, "PYTHONHASHSEED": "4711"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "llmattn.testing.elsewhere"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )
        self._sent = pickle.dumps((sys.path, files, data.getvalue()))

    def start(self) -> Child:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(self._sent)
        self._process.stdin.close()
        self._process.stdin = None
        return self

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def result(self, seconds: float) -> tuple[Any, str]:
        """What the call gave, and the error instead of it, in words."""
        try:
            out, err = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None, f"it had not ended after {seconds:g} seconds"
        if self._process.returncode or not out:
            last = err.decode(errors="replace").strip().splitlines()[-1:]
            return None, f"the process ended with {self._process.returncode} {''.join(last)}"
        answer: tuple[Any, str] = pickle.loads(out)  # noqa: S301  (of our own child)
        return answer


def elsewhere(work: Callable[..., Any], *args: Any, seconds: float = 60.0) -> tuple[Any, str]:
    """What ``work(*args)`` gives in another process, on another day, and the error in words."""
    return Child(work, *args).start().result(seconds)


class _Finder:
    """Finds the modules that the parent had loaded from files that are on no path."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if file := self._files.get(name):
            return importlib.util.spec_from_file_location(name, file)
        if any(other.startswith(f"{name}.") for other in self._files):
            return importlib.machinery.ModuleSpec(name, None, is_package=True)
        return None


def main() -> int:
    """Answer the parent."""
    out, sys.stdout = os.fdopen(os.dup(1), "wb"), sys.stderr
    os.dup2(2, 1)  # what a plugin prints is no answer
    path, files, data = pickle.loads(sys.stdin.buffer.read())  # noqa: S301  (of our own parent)
    sys.path[:] = path
    sys.meta_path.append(_Finder(files))
    import time

    with time_machine.travel(time.time() + _LATER, tick=True):
        try:
            work, args = pickle.loads(data)  # noqa: S301  (of our own parent)
            answer = (work(*args), "")
        except BaseException as error:
            traceback.print_exc()
            answer = (None, f"{type(error).__name__}: {error}")
        out.write(pickle.dumps(answer))
        out.flush()
    os._exit(0)  # without closing anything: a process may end at any time


if __name__ == "__main__":
    sys.exit(main())
