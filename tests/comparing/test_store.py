"""Finished runs on disk: one that was damaged or edited is made anew, and that is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from llmattn.comparing.store import FinishedRun, RunStore, settings_key

SETTINGS = {"text_sha256": "00", "train": {"lr": 0.01}}
RUN = FinishedRun(
    settings=SETTINGS,
    place={"torch": "2"},
    test_loss=3.5,
    val_loss=3.25,
    best_step=10,
    outcome="finished",
    tokens=100,
    seconds=1.5,
    parameters=1000,
    curve=((0, None, 9.0), (10, 5.0, 3.25)),
)
Data = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path)
    store.keep(RUN)
    return store


def edited(store: RunStore, change: Callable[[Data], Any], *, knowing: bool = True) -> None:
    """Edit the run's file; who is ``knowing`` gives it a checksum that fits."""
    path = store.path(SETTINGS)
    data = json.loads(path.read_text())
    change(data)
    if knowing:
        data.pop("checksum")
        data["checksum"] = settings_key(data)
    path.write_text(json.dumps(data))


def test_run_is_found_as_it_was_kept(store: RunStore) -> None:
    assert store.find(SETTINGS) == RUN
    assert store.find({**SETTINGS, "more": 1}) is None


def test_run_that_diverged_is_found(store: RunStore) -> None:
    lost = attrs.evolve(RUN, outcome="diverged", test_loss=float("inf"), curve=())
    store.keep(lost)
    assert store.find(SETTINGS) == lost


def test_edited_loss_is_noticed(store: RunStore, told: Callable[[], str]) -> None:
    edited(store, lambda data: data.update(test_loss=1.0), knowing=False)
    assert store.find(SETTINGS) is None
    assert "it is not as it was written); this run is made anew" in told()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(curve=[]),
        lambda data: data.update(curve=None),
        lambda data: data.update(curve=[[0, None]]),
        lambda data: data.update(curve=[[10, 5.0, "x"]]),
        lambda data: data.update(curve=[[10, 5.0, 3.0], [0, None, 9.0]]),
        lambda data: data.update(curve=[[0, None, float("nan")]]),
        lambda data: data.update(best_step=11),
        lambda data: data.update(best_step="10"),
        lambda data: data.update(parameters=-1),
        lambda data: data.update(seconds=None),
        lambda data: data.update(seconds=float("inf")),
        lambda data: data.update(test_loss="3.5"),
        lambda data: data.update(test_loss=float("nan")),
        lambda data: data.update(outcome=None),
        lambda data: data.update(settings=[]),
        lambda data: data.update(settings={"other": 1}),
        lambda data: data.update(colour="red"),
        lambda data: data.pop("curve"),
    ],
)
def test_run_of_another_shape_is_made_anew_with_a_note(
    store: RunStore, told: Callable[[], str], change: Callable[[Data], Any]
) -> None:
    edited(store, change)
    assert store.find(SETTINGS) is None
    said = told()
    assert said.count("\n") == 1
    assert "this run is made anew" in said


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b'{"curve": 1' + b"0" * 9999],
    ids=["empty", "cut", "list", "null", "number", "binary", "deep", "huge"],
)
def test_file_that_is_no_run_is_made_anew_with_a_note(
    store: RunStore, told: Callable[[], str], content: bytes
) -> None:
    store.path(SETTINGS).write_bytes(content)
    assert store.find(SETTINGS) is None
    assert "this run is made anew" in told()
