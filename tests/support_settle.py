"""A user's own folder of settings, and commands that see it."""

from __future__ import annotations

from pathlib import Path

from support_cli import Done, run_cli, run_process


def own_folder(folder: Path) -> Path:
    """Where the user's file and keys are, for commands of this module in ``folder``."""
    own = folder / "home" / "llmattn"
    own.mkdir(parents=True, exist_ok=True)
    return own


def command(folder: Path, *arguments: object, stdin: str = "", **environ: str) -> Done:
    """``llmattn ARGUMENTS`` with that folder."""
    environ.setdefault("XDG_CONFIG_HOME", str(own_folder(folder).parent))
    return run_cli(folder, *arguments, stdin=stdin, **environ)


def process(folder: Path, *arguments: object, stdin: str = "", **environ: str) -> Done:
    """The same as a process."""
    own = str(own_folder(folder).parent)
    return run_process(folder, *arguments, stdin=stdin, XDG_CONFIG_HOME=own, **environ)


def write(path: Path, text: str) -> Path:
    """A file that nobody else can write, whatever the umask."""
    path.write_text(text)
    path.chmod(0o600)
    return path
