"""Writes docs/settings.md and docs/plugin-api.md out of what they are about: ``make reference``.

tests/core/test_reference.py says whether the pages are in step.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import attrs
import llmattn.plugin
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

_API_HEAD = """# The plugin API, version {version}

Made by `make reference` out of `llmattn.plugin`; do not edit. What is promised of these names:
[plugin-promises.md](plugin-promises.md). `help(llmattn.plugin.NAME)` says more of each.
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


def api_page() -> str:
    """The whole page on the names of ``llmattn.plugin``."""
    version = ".".join(map(str, llmattn.plugin.API_VERSION))
    parts = [_API_HEAD.format(version=version), "| name | what it is |", "|---|---|"]
    parts += [f"| `{name}` | {_cell(_about(name))} |" for name in llmattn.plugin.__all__]
    return "\n".join([*parts, ""])


def _about(name: str) -> str:
    """The first paragraph that is said of a name."""
    home = llmattn.plugin._HOME.get(name, "llmattn.plugin")
    text = _said_below(home, name) or inspect.getdoc(getattr(llmattn.plugin, name)) or ""
    return re.sub(r":[a-z]+:`", "`", " ".join(text.split("\n\n")[0].split()))


def _said_below(module: str, name: str) -> str | None:
    """The text below the assignment of a value, which has no docstring of its own."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    for one, after in pairwise(body):
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == name:
            assert isinstance(after, ast.Expr)
            return inspect.cleandoc(ast.literal_eval(after.value))
    return None


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("``", "`").replace("\n", " ")


PAGES = {"settings.md": settings_page, "plugin-api.md": api_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
