"""The documentation as a site: built strictly, every link leads somewhere, nothing is fetched."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from llmattn.untrusted import from_toml
from support_browser import lacking, open_browser, serious

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site that was built without a complaint."""
    make = runpy.run_path(str(ROOT / "docs" / "make_site.py"))["build"]
    first: Path = make(tmp_path_factory.mktemp("docs") / "built")
    return first.parent


class Page(HTMLParser):
    """What a page links to, what it loads by itself, and the places in it that links may name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            if value and name in ("href", "src"):
                (self.links if tag == "a" else self.loads).append(value)


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 30
    lost = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            found = aim in pages if parts.fragment else aim.exists()
            if not found or (parts.fragment and unquote(parts.fragment) not in pages[aim].places):
                lost.append(f"{path.relative_to(site)}: {link}")
    assert lost == []


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    outside = {
        each
        for path in site.rglob("*.html")
        for each in Page(path).loads
        if urlsplit(each).scheme not in ("", "data") or each.startswith("//")
    }
    assert outside == set()


def _named(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else _named(value)


def test_the_navigation_names_every_page_once() -> None:
    config = from_toml(ROOT / "docs" / "zensical.toml")
    named = sorted(_named(config["project"]["nav"]))
    tops = ["CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"]
    pages = tops + sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
    assert named == pages, "a new page needs its line in docs/zensical.toml"


@pytest.mark.long
@pytest.mark.skipif(bool(lacking()), reason=lacking())
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_reader_without_a_network_searches_the_site(site: Path) -> None:
    with open_browser() as browser:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "docs" / "commands.html").as_uri())
        assert serious(page) == []
        page.get_by_role("button", name="Search").first.click()
        page.get_by_role("combobox").fill("Kneser")
        page.get_by_text("A tale that no model has read").last.click()
        page.wait_for_url("**/docs/evidence.html*")
        assert [url for url in asked if not url.startswith("file:")] == []
