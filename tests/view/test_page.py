"""The page of ``show --out FILE.html``, as a file: what is in it, and what never is."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmattn.errors import ConfigError
from llmattn.view.maps import Floats, Maps, Sheet
from llmattn.view.page import escaped, render_page, save_page
from llmattn.view.sheet_page import save_sheet, sheet_page
from numpy.typing import NDArray
from support_pages import HOSTILE, Reader


def causal(values: NDArray[Any]) -> Floats:
    """Matrices with NaN above the diagonal."""
    found: Floats = np.where(np.tri(values.shape[-1], dtype=bool), values, np.float32(np.nan))
    return found


def sheet(words: list[str], name: str = "p", channel: str = "c") -> Sheet:
    """Random numbers for these words."""
    values = np.random.default_rng(0).random((1, len(words), len(words)), np.float32)
    return Sheet(words, [Maps(name, "score", (channel,), causal(values))])


def held(page: str) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def numbers(data: Any, place: int = 0) -> Floats:
    """A map as the page's script unpacks it."""
    each = data["sources"][0]["maps"][place]
    codes = np.frombuffer(zlib.decompress(base64.b64decode(each["data"])), np.uint8)
    size = len(data["labels"])
    found = np.full((size, size), np.nan, np.float32)
    keys, queries = np.triu_indices(size)
    book = np.full(256, np.nan)
    book[: len(each["book"])] = each["book"]
    book[data["unknown"]] = np.nan
    found[queries, keys] = book[codes]
    return found


def test_a_strangers_words_are_never_markup() -> None:
    plain = Reader(sheet_page(sheet(["word"] * len(HOSTILE))))
    for name in ("p", HOSTILE[0], HOSTILE[3], "\x1b"):
        read = Reader(sheet_page(sheet(HOSTILE, name, name)))
        assert read.shape() == plain.shape()
        assert [text for tag, text in read.raw if tag == "script"][1:] == [
            text for tag, text in plain.raw if tag == "script"
        ][1:]


def test_words_reach_the_page_as_they_are_but_for_what_is_invisible() -> None:
    data = held(sheet_page(sheet(HOSTILE)))
    assert data["tokens"][0] == HOSTILE[0]
    assert data["tokens"][5].strip() == "\\u202eevil\\x1b[31m"
    assert "\u2028" not in json.dumps(data, ensure_ascii=False)


def test_only_our_own_scripts_may_run_and_nothing_is_fetched() -> None:
    page = sheet_page(sheet(["the", "cat"]))
    read = Reader(page)
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in read.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag, code in [*re.findall(r"<(script)>(.*?)</script>", page, re.S)]:
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy, tag
    for _, attributes in read.elements:
        assert not {"src", "href", "style"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    assert set(re.findall(r"https?://[^\s\"']+", page)) <= {"http://www.w3.org/2000/svg"}


def test_few_numbers_are_kept_exactly_and_unknown_ones_as_unknown() -> None:
    drawn = np.random.default_rng(1).integers(0, 10, (1, 30, 30))
    values = causal((drawn / 9).astype(np.float32))
    values[0, 7, 3] = np.nan
    data = held(sheet_page(Sheet(["w"] * 30, [Maps("p", "score", ("c",), values)])))
    np.testing.assert_allclose(numbers(data), values[0], rtol=1e-4)


def test_many_numbers_are_kept_to_a_hundredth_of_the_largest() -> None:
    values = causal(np.random.default_rng(2).random((2, 60, 60), np.float32) ** 4)
    data = held(sheet_page(Sheet(["w"] * 60, [Maps("p", "weight", ("a", "b"), values)])))
    for place in range(2):
        np.testing.assert_allclose(numbers(data, place), values[place], atol=0.01)


def test_heads_are_told_by_their_layers() -> None:
    values = causal(np.ones((2, 3, 3), np.float32))
    names = ("layer 1, head 1", "layer 2, head 1")
    maps = held(sheet_page(Sheet(["a", "b", "c"], [Maps("m", "weight", names, values)])))
    found = [(each["layer"], each["head"]) for each in maps["sources"][0]["maps"]]
    assert found == [("layer 1", "head 1"), ("layer 2", "head 1")]


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("size", [1, 2])
def test_the_smallest_texts_have_a_page(size: int, value: float) -> None:
    values = causal(np.full((1, size, size), value, np.float32))
    for scale in ("linear", "sqrt", "log", "rank"):
        page = sheet_page(Sheet(["a"] * size, [Maps("p", "score", ("c",), values)]), scale)
        np.testing.assert_equal(numbers(held(page)), values[0])


def test_too_much_for_a_page_is_told() -> None:
    values = np.broadcast_to(np.float32(0), (500, 500, 500))
    with pytest.raises(ConfigError, match="--channel"):
        sheet_page(Sheet(["a"] * 500, [Maps("p", "score", ("c",) * 500, values)]))


def test_a_page_replaces_a_page_and_no_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    save_sheet(sheet(["a", "b"]), path)
    save_sheet(sheet(["c", "d"]), path)
    path.write_text("<!doctype html><p>mine")
    with pytest.raises(ConfigError, match="left as it is"):
        save_page(render_page("t", ""), path)


def test_the_frame_escapes_its_title() -> None:
    read = Reader(render_page(HOSTILE[0], f"<p>{escaped(HOSTILE[3])}</p>"))
    assert [tag for tag, _ in read.elements if tag in ("script", "b")] == []
