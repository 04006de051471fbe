"""``llmattn new-plugin``: a complete distribution to start from, filled in from ``templates``."""

from __future__ import annotations

import enum
import re
import shutil
import unicodedata
from importlib import metadata, resources
from pathlib import Path
from string import Template
from typing import Annotated

import typer
from attrs import frozen

import llmattn.plugin
from llmattn import __version__
from llmattn.cli.output import echo
from llmattn.errors import ConfigError
from llmattn.plugins import load_plugins

__all__ = ["new_plugin"]


class Kind(str, enum.Enum):
    """What a plugin adds."""

    provider = "provider"
    chat = "chat"
    cache = "cache"


_MOST_LETTERS = 40
_LIBRARIES = {
    Kind.provider: ("attrs>=23.2", "numpy>=1.26"),
    Kind.chat: ("attrs>=23.2", "httpx2>=2"),
    Kind.cache: ("attrs>=23.2", "numpy>=1.26"),
}
_COMMON = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "LICENSE": "LICENSE",
    "gitignore": ".gitignore",
    "ci.yml": ".github/workflows/ci.yml",
}


def new_plugin(
    name: Annotated[str, typer.Argument(help="What --provider or --cache is to call it.")],
    kind: Annotated[
        Kind, typer.Option(help="A provider that computes scores, a chat model, or a cache.")
    ] = Kind.provider,
) -> None:
    """Write a complete plugin into ./llmattn-NAME: code, settings, tests, README, CI.

    It works as it is; change what is yours. Nothing that exists is overwritten.
    """
    names = read_name(name)
    _check_free(names)
    folder = Path(names.distribution)
    try:
        folder.mkdir()
    except FileExistsError:
        raise ConfigError(
            f"./{folder} exists already, and nothing is overwritten: take another name, or run "
            "this in another folder."
        ) from None
    try:
        for path, text in files(names, kind).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    echo(f"{folder}/src/{names.module}/__init__.py is the {names.name} that you change. Next:")
    echo(f"  cd {folder}\n  pip install -e '.[test]'\n  pytest")


@frozen
class Names:
    """The spellings of a plugin's name. ``name``: as it registers itself."""

    name: str

    @property
    def distribution(self) -> str:
        return f"llmattn-{self.name.replace('_', '-')}"

    @property
    def module(self) -> str:
        return f"llmattn_{self.name}"

    @property
    def stem(self) -> str:
        """How its classes begin: no name of the door's, nor one that pytest takes for a test."""
        stem = "".join(part.capitalize() for part in self.name.split("_"))
        ours = {f"{stem}{end}" for end in ("Cache", "Provider", "Settings")}
        taken = not ours.isdisjoint(llmattn.plugin.__all__)
        return f"My{stem}" if taken or stem.startswith("Test") else stem


def read_name(text: str) -> Names:
    """The name that ``text`` means, in any spelling: ``My Model``, ``llmattn-my-model`` and
    ``my_model`` are one. Raises ConfigError.
    """
    plain = re.sub(r"[-_.\s]+", "_", unicodedata.normalize("NFKC", text)).strip("_").lower()
    name = re.sub(r"^llmattn_(plugin_)?(?=.)", "", plain)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == "llmattn":
        raise ConfigError(
            f"{text!r} is no name for a plugin: it takes letters from a to z, figures, and - or _ "
            "between them, and begins with a letter, such as my-model."
        )
    if len(name) > _MOST_LETTERS:
        raise ConfigError(f"{text!r} is too long for a name: {_MOST_LETTERS} letters at most.")
    return Names(name)


def _check_free(names: Names) -> None:
    """Raise ConfigError if what is installed has the name already."""
    plugins = load_plugins()
    for registry in plugins.registries:
        for entry in registry:
            if entry.name == names.name:
                raise ConfigError(
                    f"{entry.distribution} has a {registry.kind} called {names.name!r} already: "
                    "take another name."
                )
    try:
        metadata.distribution(names.distribution)
    except metadata.PackageNotFoundError:
        return
    raise ConfigError(f"{names.distribution} is installed already: take another name.")


def files(names: Names, kind: Kind) -> dict[str, str]:
    """The text of each file of the plugin, by its path in the plugin's folder."""
    what = "cache" if kind is Kind.cache else "provider"
    option = f"--{what} {names.name}"
    needs = (f"llmattn-core{_fitting(__version__)}", *_LIBRARIES[kind])
    words = {
        "distribution": names.distribution,
        "module": names.module,
        "name": names.name,
        "NAME": names.name.upper(),
        "Class": names.stem,
        "what": what,
        "use": f"llmattn train --corpus corpus.txt {option}",
        "dependencies": "\n".join(f'    "{need}",' for need in needs),
    }
    package = f"src/{names.module}"
    own = {"plugin.py": f"{package}/__init__.py", "test.py": f"tests/test_{names.name}.py"}
    found = {path: _filled(f"common/{name}", words) for name, path in _COMMON.items()}
    found |= {path: _filled(f"{kind.value}/{name}", words) for name, path in own.items()}
    return {**found, f"{package}/py.typed": ""}


def _filled(name: str, words: dict[str, str]) -> str:
    text = resources.files("llmattn").joinpath("templates", *f"{name}.template".split("/"))
    return Template(text.read_text(encoding="utf-8")).substitute(words)


def _fitting(version: str) -> str:
    """The versions of the core that promise what this one has (docs/plugin-promises.md)."""
    major, minor = map(int, version.split(".")[:2])
    return f">={major}.{minor},<{f'0.{minor + 1}' if major == 0 else major + 1}"
