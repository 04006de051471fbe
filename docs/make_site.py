"""Builds the documentation as a site that needs no network: ``make docs``.

The pages keep the places they have in the repository: a link is the same on GitHub and here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
"""What stands beside docs/ and is part of the site."""


def build(folder: Path) -> Path:
    """Make the site anew in ``folder``; its first page. CalledProcessError if a link is broken."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    shutil.copytree(ROOT / "docs", pages / "docs", ignore=shutil.ignore_patterns("*.py", "*.toml"))
    shutil.copytree(ROOT / "examples", pages / "examples", ignore=shutil.ignore_patterns("llm*"))
    for page in PAGES:
        shutil.copy(ROOT / page, pages)
    shutil.copy(ROOT / "docs" / "zensical.toml", folder)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, check=True)
    return folder / "site" / "index.html"


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]))
    except subprocess.CalledProcessError:
        sys.exit("The site was not built: see above.")
