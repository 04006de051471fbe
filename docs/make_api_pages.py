"""Writes docs/python-api.md and docs/plugin-api.md out of the code: ``make reference``.

The code is read, not run: defaults and types stand as their author wrote them.
tests/core/test_reference.py says whether the pages are in step.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import llmattn
import llmattn.plugin

DOCS = Path(__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef

_HEAD = """# The Python API

Made by `make reference` out of the package `llmattn`; do not edit. How the names go together, with
examples that run: [From Python](python.md). `help(llmattn.NAME)` says the same.
"""

_PLUGIN_HEAD = """# The plugin API, version {version}

Made by `make reference` out of `llmattn.plugin`; do not edit. What is promised of these names:
[plugin-promises.md](plugin-promises.md). `help(llmattn.plugin.NAME)` says more of each.
"""


def python_page() -> str:
    """The whole page on the names of ``llmattn``."""
    return _page(_HEAD, llmattn)


def plugin_page() -> str:
    """The whole page on the names of ``llmattn.plugin``."""
    version = ".".join(map(str, llmattn.plugin.API_VERSION))
    return _page(_PLUGIN_HEAD.format(version=version), llmattn.plugin)


def _page(head: str, module: ModuleType) -> str:
    """A table of a module's public names, then a section for each."""
    home: dict[str, str] = module._HOME  # type: ignore[attr-defined]
    found = {name: _Found(name, home.get(name, module.__name__)) for name in module.__all__}
    table = [
        f"| [`{name}`](#{name.lower()}) | {_cell(each.said.split(chr(10) * 2)[0])} |"
        for name, each in found.items()
    ]
    sections = [text for each in found.values() for text in each.section()]
    return "\n".join([head, "| name | what it is |", "|---|---|", *table, "", *sections])


class _Found:
    """A public name, where it is written."""

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self.node, self.said = _written(name, module)

    def section(self) -> Iterator[str]:
        yield f"## {self.name}\n"
        if isinstance(self.node, ast.ClassDef):
            bases = ", ".join(map(ast.unparse, self.node.bases))
            yield _code(f"class {self.name}({bases})" if bases else f"class {self.name}")
        elif isinstance(self.node, Function):
            yield _code(_signature(self.node))
        else:
            yield _code(ast.unparse(self.node))
        yield _plain(self.said) + "\n"
        if isinstance(self.node, ast.ClassDef):
            yield from _members(self.node)


def _members(node: ast.ClassDef) -> Iterator[str]:
    """What a class has: its fields as a table, then its methods."""
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    rows = [_field(each) for each in fields if not ast.unparse(each.target).startswith("_")]
    if rows:
        yield "\n".join(["| field | type | default | |", "|---|---|---|---|", *rows, ""])
    for each in node.body:
        if not isinstance(each, Function):
            continue
        said = ast.get_docstring(each)
        if each.name == "__init__" or (said and not each.name.startswith("_")):
            yield _code(_signature(each))
            if said:
                yield _plain(said) + "\n"


def _field(node: ast.AnnAssign) -> str:
    value, said = node.value, ""
    if isinstance(value, ast.Call):  # option(2000, help="..."), setting(...), field(...)
        named = {each.arg: each.value for each in value.keywords}
        helped = named.get("help")
        said = helped.value if isinstance(helped, ast.Constant) else ""
        value = value.args[0] if value.args else named.get("default")
    default = f"`{ast.unparse(value)}`" if value is not None else ""
    cells = f"`{ast.unparse(node.target)}`", f"`{ast.unparse(node.annotation)}`", default, said
    return f"| {' | '.join(map(_cell, cells))} |"


def _signature(node: Function) -> str:
    """``def name(...) -> type``, an argument a line where one line is too long."""
    decorators = [f"@{ast.unparse(each)}\n" for each in node.decorator_list]
    start = "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = ast.unparse(node.args)
    line = f"{start}{node.name}({arguments}){back}"
    if len(line) > 88:
        parts = re.split(r", (?![^\[(]*[\])])", arguments)
        line = f"{start}{node.name}(\n" + "".join(f"    {each},\n" for each in parts) + f"){back}"
    return "".join(decorators) + line


@cache
def _written(name: str, module: str) -> tuple[ast.AST, str]:
    """Where a module, or one that it takes the name from, writes it, and what it says of it."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    for one, after in pairwise([*body, ast.Pass()]):
        if isinstance(one, ast.ClassDef | Function) and one.name == name:
            return one, ast.get_docstring(one) or ""
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == name:
            assert isinstance(after, ast.Expr), f"{module}.{name} says nothing of itself"
            return one, inspect.cleandoc(ast.literal_eval(after.value))
    for each in ast.walk(ast.Module(body, [])):
        if isinstance(each, ast.ImportFrom) and name in {alias.name for alias in each.names}:
            assert each.module is not None
            return _written(name, each.module)
    raise LookupError(f"{module} has no {name}")


def _plain(text: str) -> str:
    """Of a docstring: reStructuredText's roles and double backticks as Markdown."""
    return re.sub(r"(:[a-z]+:)?(`+)~?([^`]+)\2", r"`\3`", text).replace("::\n", ":\n")


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def _cell(text: str) -> str:
    text = re.sub("`[^`]*`|<", lambda m: "&lt;" if m[0] == "<" else m[0], _plain(text))
    return text.replace("|", "\\|").replace("\n", " ")


PAGES: dict[str, Callable[[], str]] = {
    "python-api.md": python_page,
    "plugin-api.md": plugin_page,
}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
