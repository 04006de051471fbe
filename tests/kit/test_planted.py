"""Every planted fault is caught, in words that read like advice, and the same each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kit.faults import FAULTS
from kit.faulty_askers import SHAPE, Asker
from kit.faulty_caches import File, Memory, in_a_file, in_memory
from kit.faulty_identities import Set, Settings
from kit.faulty_providers import Sound, Text
from kit.planted import Fault, meet
from llmattn.testing.providers import check_faults, check_provider

PAGE = Path(__file__).parents[2] / "docs" / "writing-plugins.md"
faults = pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])


def _advice(message: str) -> str:
    """What is wrong with a message, or nothing."""
    where = re.search(r"docs/writing-plugins\.md#([\w-]+)\)\.$", message)
    if not where:
        return f"it names no place in the docs: {message!r}"
    headings = re.findall(r"^#+ (.*)$", PAGE.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    if where[1] not in anchors:
        return f"the docs have no heading for #{where[1]}"
    return "" if ". Expected: " in message and len(message) < 900 else f"no advice: {message!r}"


@faults
def test_a_planted_fault_is_caught_with_advice(fault: Fault) -> None:
    caught = meet(fault)
    assert caught.message, f"{fault.name} was not caught"
    assert _advice(caught.message) == ""


@pytest.mark.long
def test_planted_faults_are_caught_by_the_same_check_again() -> None:
    """``python -m kit --runs 20`` does it with all of them, which takes most of an hour."""
    caught = {fault.name: {meet(fault).check for _ in range(2)} for fault in FAULTS[::8]}
    assert {name: checks for name, checks in caught.items() if len(checks) > 1} == {}


@pytest.mark.parametrize("sound", [Sound, Text, lambda: Set(Settings())])
def test_a_sound_provider_passes(sound: type) -> None:
    check_provider(sound)


def test_a_sound_provider_of_another_api_passes() -> None:
    check_faults(Asker, shape=SHAPE)


def test_a_sound_cache_in_memory_passes() -> None:
    in_memory(Memory)


def test_a_sound_cache_in_a_file_passes() -> None:
    in_a_file(File)
