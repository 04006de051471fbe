"""Fake installed distributions with real entry points, for the discovery tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

GOOD = """
from attrs import frozen
from llmattn.hookspecs import hookimpl

@frozen
class Settings:
    pass

@hookimpl
def llmattn_register_providers(registry):
    registry.add("{name}", "nowhere:Nothing", Settings, "for a test")
"""


def install(site: Path, distribution: str, entry: str, code: str, requires: str = "") -> None:
    """Make ``distribution`` look installed in ``site``: metadata, entry point, module."""
    module = distribution.replace("-", "_")
    info = site / f"{module}-1.2.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[llmattn]\n{entry} = {module}\n")
    (site / f"{module}.py").write_text(code)


def run(site: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """``llmattn ARGUMENTS`` with ``site`` on the path, away from any .env."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LLM", "OPENAI", "CUSTOM"))}
    return subprocess.run(
        [sys.executable, "-m", "llmattn", *arguments],
        env={**clean, "PYTHONPATH": str(site), "COLUMNS": "200", **environ},
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
    )


def listed(site: Path, **environ: str) -> dict[str, dict[str, str]]:
    """``llmattn plugins --json`` by name."""
    done = run(site, "plugins", "--json", **environ)
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)}
