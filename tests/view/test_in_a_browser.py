"""The page as a browser shows it: complete, fast, quiet, and usable by keyboard and by ear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmattn.view.maps import Maps, Sheet
from llmattn.view.sheet_page import save_sheet
from support_browser import lacking, open_browser, serious

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    # playwright's own event loop, which it leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
WAIT = 120_000
"""Milliseconds: how busy the machine is decides nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


def causal(count: int, size: int, power: float) -> Any:
    values = np.random.default_rng(0).random((count, size, size), np.float32) ** power
    return np.where(np.tri(size, dtype=bool), values, np.float32(np.nan))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A provider's channels beside a model's heads, over 12 words, one of them hostile."""
    words = ["\n", *(f" w{n}" for n in range(10)), "</script><img src=x onerror=alert(1)>"]
    heads = ("layer 1, head 1", "layer 1, head 2", "layer 2, head 1", "layer 2, head 2")
    sources = [
        Maps("provider", "score", ("L00", "L01"), causal(2, 12, 1)),
        Maps("model.pt", "weight", heads, causal(4, 12, 3)),
    ]
    path = tmp_path_factory.mktemp("page") / "short.html"
    save_sheet(Sheet(words, sources), path)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 tokens in 30 channels of noise, which nothing can make smaller."""
    sources = [Maps("noise", "score", tuple(f"L{n:02}" for n in range(30)), causal(30, 500, 1))]
    path = tmp_path_factory.mktemp("page") / "large.html"
    save_sheet(Sheet([f" w{n}" for n in range(500)], sources), path)
    return path


def opened(browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(WAIT)
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.said.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.said.pop(0) == path.as_uri()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(
    browser: Any, short: Path, width: int, scheme: str
) -> None:
    page = opened(browser, short, width, scheme)
    assert serious(page) == []
    page.select_option("#b-source", label="model.pt")
    page.wait_for_selector("#figure-d:not([hidden])")
    page.locator("#whole summary").click()
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.said == []
    page.close()


def test_500_tokens_with_30_channels_open_with_little_work(browser: Any, large: Path) -> None:
    assert large.stat().st_size < 3_000_000
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WAIT)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(large.as_uri())
    page.wait_for_selector("html[data-ready]")
    found = session.send("Performance.getMetrics")["metrics"]
    worked = {each["name"]: each["value"] for each in found}
    # What the page's thread has worked, whatever else the machine was doing.
    assert 0 < worked["ThreadTime"] < 3
    assert page.locator(".thumb").count() == 30
    page.close()


def test_a_word_that_looks_like_markup_is_a_word(browser: Any, short: Path) -> None:
    page = opened(browser, short)
    assert page.locator("img").count() == 0
    assert page.locator(".token").last.text_content() == "</script><img src=x onerror=alert(1)>"
    page.close()


def test_everything_is_done_with_the_keyboard(browser: Any, short: Path) -> None:
    page = opened(browser, short)
    page.locator(".token[aria-selected=true]").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator(".token[aria-selected=true]").text_content() == "w0"
    assert page.locator("#numbers-heading").text_content() == "What w0 (2) looks at"
    assert page.locator("#table tbody tr").count() == 2
    assert page.locator("#live").text_content().startswith("What w0 (2) looks at: ")
    page.locator("#figure-a .map").focus()
    page.keyboard.press("ArrowDown")
    assert "w1 (3) → w0 (2)" in page.locator("#tip").text_content()
    page.keyboard.press("Enter")
    assert page.locator("#numbers-heading").text_content() == "What w1 (3) looks at"
    page.locator("#way").press("Enter")
    assert page.locator("#table tbody tr").count() == 10
    page.locator("#next").press("Enter")
    page.wait_for_function(
        "document.querySelector('#figure-a-heading').textContent.includes('L01')"
    )
    page.close()


def test_layers_and_heads_are_chosen_and_a_difference_is_shown(browser: Any, short: Path) -> None:
    page = opened(browser, short)
    page.select_option("#a-source", label="model.pt")
    page.select_option("#a-layer", label="layer 2")
    page.select_option("#a-map", label="head 2")
    page.wait_for_function(
        "document.querySelector('#figure-a-heading').textContent === 'model.pt layer 2, head 2'"
    )
    page.select_option("#b-source", label="model.pt")
    page.wait_for_selector("#figure-d:not([hidden])")
    one, other, difference = page.locator("#table tbody tr").first.locator(".number").all()
    found = [float(cell.text_content()) for cell in (one, other, difference)]
    assert found[2] == pytest.approx(found[0] - found[1], abs=0.01)
    page.close()


def test_the_theme_is_chosen(browser: Any, short: Path) -> None:
    page = opened(browser, short)
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != before
    assert serious(page) == []
    page.close()
