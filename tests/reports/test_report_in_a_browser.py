"""The pages of a run and of a real comparison, as a browser shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_browser import lacking, open_browser, serious
from support_cli import run_cli
from support_engine import write_corpus

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    # playwright's own event loop, which it leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MODEL = ("--provider", "cooccurrence", "--n-layer", "1", "--n-head", "2", "--n-embd", "16")
SHORT = ("--steps", "4", "--eval-every", "2", "--batch-size", "8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pages")
    write_corpus(folder)
    several = ("--arms", "external,random,position", "--seeds", "3", "--lr", "3e-3", "--jobs", "1")
    for command in (
        ("train", "corpus.txt", *MODEL, *SHORT),
        ("compare", "corpus.txt", *MODEL, *SHORT, *several, "--keep-checkpoints"),
        ("report", "checkpoint.pt"),
        ("report", "comparison"),
    ):
        done = run_cli(folder, *command)
        assert done.returncode == 0, done.stderr
    return [folder / "checkpoint.html", folder / "comparison" / "report.html"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(
    browser: Any, pages: list[Path], width: int, scheme: str
) -> None:
    for path in pages:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(120_000)
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("request", lambda request, said=said: said.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        for each in page.locator("summary").all():
            each.click()
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("svg.chart").count() >= 1
        assert page.locator("image").count() >= 3
        ground = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(ground)
        page.locator("#theme").press("Enter")
        assert page.evaluate(ground) != before
        assert serious(page) == []
        # The page itself, and pictures that it holds.
        assert [url for url in said if not url.startswith("data:image/png")] == [path.as_uri()]
        page.close()
