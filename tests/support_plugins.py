"""Fake installed distributions with real entry points, for the discovery tests."""

from __future__ import annotations

import json
from pathlib import Path

from support_cli import Done, run_process

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


def run(site: Path, *arguments: str, **environ: str) -> Done:
    """``llmattn ARGUMENTS`` as a process with ``site`` on the path."""
    return run_process(site, *arguments, PYTHONPATH=str(site), **environ)


def listed(site: Path, **environ: str) -> dict[str, dict[str, str]]:
    """``llmattn plugins --json`` by name."""
    done = run(site, "plugins", "--json", **environ)
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)}
