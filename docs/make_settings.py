"""Writes docs/settings.md out of the settings classes: ``make reference``.

tests/core/test_reference.py says whether the page is in step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
from llmattn.plugins import load_plugins
from llmattn.registry import Registered
from llmattn.settings import settings_help

DOCS = Path(__file__).parent
OURS = {"llmattn-core", *(path.name for path in DOCS.parent.glob("plugins/*"))}

_SETTINGS_HEAD = """# Settings of providers, caches and executors

Made by `make reference` out of their settings classes; do not edit. Each is set by
`-o NAME.KEY=VALUE`, by its variable in the environment or a `.env` file, or has its default.
`llmattn plugins --options` shows the same for all that you have installed, and `--print-config`
what they are at the moment.
"""


def settings_page() -> str:
    """The whole page on settings."""
    plugins = load_plugins()
    parts = [_SETTINGS_HEAD]
    for registry in plugins.registries:
        for entry in registry:
            if entry.distribution in OURS:
                parts += _settings_of(registry.kind, entry)
    return "\n".join(parts)


def _settings_of(kind: str, entry: Registered) -> Iterator[str]:
    yield f"## The {kind} {entry.name}\n"
    yield f"From {entry.distribution}: {entry.help}.\n"
    if entry.chosen_when:
        when = "its model is on this machine"
        if not callable(entry.chosen_when):
            when = " and ".join(f"`{each}`" for each in entry.chosen_when) + " is set"
        yield f"Taken by itself where nobody names a provider and {when}.\n"
    fields = attrs.fields_dict(entry.settings)
    rows = []
    for name, env, default, text in settings_help(entry.settings):
        made = isinstance(fields[name].default, attrs.Factory)  # type: ignore[arg-type]
        default = "of this machine" if made else f"`{default}`" if default else ""
        variable = f"`{env}`" if env else ""
        rows.append(f"| `{entry.name}.{name}` | {variable} | {default} | {_cell(text)} |")
    if rows:
        yield "\n".join(["| setting | variable | default | |", "|---|---|---|---|", *rows, ""])
    else:
        yield "It has no settings.\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("``", "`").replace("\n", " ")


PAGES = {"settings.md": settings_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
