"""A headless browser, where there is one: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

__all__ = ["lacking", "open_browser", "serious"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def lacking() -> str:
    """What a browser test needs and this machine lacks; empty if nothing."""
    if not _browser():
        return "no Chromium on this machine (apt-get install chromium)"
    for name in ("playwright", "axe_playwright_python"):
        if find_spec(name) is None:
            return f"{name} is not installed (pip install -r requirements-dev.txt)"
    return ""


def _browser() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def open_browser() -> Iterator[Any]:
    """The browser, as playwright drives it, without a network."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=_browser(), args=["--no-sandbox"], timeout=120_000
        )
        yield browser
        browser.close()


def serious(page: Any) -> list[str]:
    """What axe-core finds in an open page that keeps somebody out."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
