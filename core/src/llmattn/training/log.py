"""A file with one record an evaluation, CSV or JSON Lines by its name."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import attrs

from llmattn.errors import ConfigError
from llmattn.places import check_place
from llmattn.training.loop import Report
from llmattn.untrusted import WRONG_DATA, from_json

__all__ = ["TrainingLog", "check_log"]

_FIELDS = [field.name for field in attrs.fields(Report)]


def check_log(path: Path) -> None:
    """Raise ConfigError unless a log can be written to ``path``."""
    if path.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"--log {path}: the name must end in .csv or .jsonl.")
    check_place(path, "--log")


class TrainingLog:
    """Appends reports to ``path``, which ends in ``.csv`` or ``.jsonl``.

    ``after``: the step that the run goes on from; records of later steps, which a killed run
    may have left, are removed, and from 0 on the file begins anew. Raises ConfigError for
    another name, or a file that cannot be read or written.
    """

    def __init__(self, path: Path, *, after: int = 0) -> None:
        check_log(path)
        self._path = path
        self._csv = path.suffix == ".csv"
        kept = self._kept(after) if after else []
        self._write([",".join(_FIELDS), *kept] if self._csv else kept, "w")

    def add(self, report: Report) -> None:
        """Append one record."""
        record = attrs.asdict(report)
        if self._csv:
            line = io.StringIO()
            csv.DictWriter(line, _FIELDS, lineterminator="").writerow(record)
            self._write([line.getvalue()], "a")
        else:
            self._write([json.dumps(record)], "a")

    def close(self) -> None:
        """Nothing: each record is in the file at once."""

    def _kept(self, after: int) -> list[str]:
        """The records up to step ``after``."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
            if self._csv:
                return [line for line in lines[1:] if int(line.split(",")[0]) <= after]
            return [line for line in lines if from_json(line)["step"] <= after]
        except FileNotFoundError:
            return []
        except (OSError, *WRONG_DATA) as error:
            raise ConfigError(
                f"--log {self._path} is no log of this run ({error}): name another file."
            ) from None

    def _write(self, lines: list[str], mode: str) -> None:
        try:
            with self._path.open(mode, encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            raise ConfigError(f"--log {self._path} cannot be written ({error.strerror}).") from None
