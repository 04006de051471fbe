"""A file with one record an evaluation, CSV or JSON Lines by its name."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import attrs

from llmattn.errors import ConfigError, ResultDamaged
from llmattn.notices import notify, warn
from llmattn.training.history import Report, read_report
from llmattn.untrusted import MOST_BYTES, WRONG_DATA, from_json
from llmattn.whole_files import open_file
from llmattn.writing import Kind, check_output, keep_beside, written

__all__ = ["TrainingLog", "check_log", "read_log"]

_FIELDS = [field.name for field in attrs.fields(Report)]


_CSV_HEAD = ",".join(_FIELDS)
_KINDS = {
    ".csv": Kind("a training log", lambda head, _: head.startswith(_CSV_HEAD.encode())),
    ".jsonl": Kind("a training log", lambda head, _: _is_record(head.split(b"\n")[0])),
}


def check_log(path: Path) -> None:
    """Raise ConfigError unless a log can be written to ``path``, which ends in ``.csv`` or
    ``.jsonl``: a new file, or one of ours.
    """
    if path.suffix not in _KINDS:
        raise ConfigError(f"--log {path}: the name must end in .csv or .jsonl.")
    check_output(path, _KINDS[path.suffix], "--log")


class TrainingLog:
    """Appends reports to ``path``, which :func:`check_log` takes.

    ``after``: the step that the run goes on from; records of later steps, which a killed run
    may have left, are removed. From 0 on the file begins anew, and that of another run is kept
    beside it. Raises ConfigError if the file cannot be read or written.
    """

    def __init__(self, path: Path, *, after: int = 0) -> None:
        check_log(path)
        self._path = path
        self._csv = path.suffix == ".csv"
        self._pending: list[str] = []
        self._told = False
        kept = self._kept(after)
        lines = [_CSV_HEAD, *kept] if self._csv else kept
        with written(path, _KINDS[path.suffix], "--log") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def add(self, report: Report) -> None:
        """Append one record, or with the next one if that is impossible now: a full disk must not
        end the training.
        """
        record = attrs.asdict(report)
        if self._csv:
            line = io.StringIO()
            csv.DictWriter(line, _FIELDS, lineterminator="").writerow(record)
            self._pending.append(line.getvalue())
        else:
            self._pending.append(json.dumps(record))
        self._append()

    def close(self) -> None:
        """Write what could not be written before."""
        if self._pending:
            self._append()

    def _kept(self, after: int) -> list[str]:
        """The records up to step ``after``; a last one that a crash has cut short is left out."""
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")[self._csv : -1]
            if not after:
                if lines:
                    notify(f"{self._path} held another run's log, now {keep_beside(self._path)}.")
                return []
            if self._csv:
                return [line for line in lines if int(line.split(",")[0]) <= after]
            return [line for line in lines if from_json(line)["step"] <= after]
        except FileNotFoundError:
            return []
        except (OSError, *WRONG_DATA) as error:
            raise ConfigError(
                f"--log {self._path} is no log of this run ({error}): name another file."
            ) from None

    def _append(self) -> None:
        """All pending lines, or none of them."""
        data = "".join(f"{line}\n" for line in self._pending).encode()
        try:
            with self._path.open("ab", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                try:
                    if file.write(data) < len(data):
                        raise OSError("the disk is full")
                except OSError:
                    file.truncate(size)
                    raise
        except OSError as error:
            if not self._told:
                self._told = True
                warn(
                    f"--log {self._path} cannot be written now ({error.strerror or error}). "
                    "Training goes on, and the lines are tried again."
                )
            return
        self._pending.clear()


def read_log(path: Path) -> list[Report]:
    """The evaluations of a log; a last line that a crash has cut short is left out. Raises
    ResultDamaged.
    """
    try:
        with open_file(path) as file:
            text = file.read(MOST_BYTES).decode("utf-8")
        whole = text[: text.rfind("\n") + 1]
        if path.suffix == ".csv":
            rows = list(csv.DictReader(io.StringIO(whole)))
            records = [{name: _value(name, row[name]) for name in _FIELDS} for row in rows]
        else:
            records = [from_json(line) for line in whole.splitlines()]
        return [read_report(record) for record in records]
    except OSError as error:
        raise ResultDamaged(f"--log {path} cannot be read ({error.strerror or error}).") from None
    except (csv.Error, *WRONG_DATA) as error:
        raise ResultDamaged(
            f"--log {path} is no log that llmattn train wrote, or not as it was written ({error})."
        ) from None


def _value(name: str, text: str) -> int | float | bool | None:
    """A field of a line of CSV. Raises ValueError."""
    if name == "is_best":
        return {"True": True, "False": False}[text]
    if name in ("step", "tokens"):
        return int(text)
    return None if name == "train_loss" and not text else float(text)


def _is_record(line: bytes) -> bool:
    try:
        record = from_json(line)
    except WRONG_DATA:
        return False
    return isinstance(record, dict) and list(record) == _FIELDS
