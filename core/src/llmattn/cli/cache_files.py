"""``llmattn cache export | import | merge | compact | verify``: the cache as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import typer
from rich.filesize import decimal

from llmattn.cache.exchange.transfer import TransferReport, contents, copy_into
from llmattn.cache.open import compact_cache, locate_cache, open_cache, verify_cache
from llmattn.cli.app import App
from llmattn.cli.cache_options import CacheDir, CacheName, Json, find_namespace, opened
from llmattn.cli.output import echo, echo_json
from llmattn.cli.user_paths import user_paths
from llmattn.errors import CacheDamaged, CacheError
from llmattn.wording import counted
from llmattn.writing import STDOUT

__all__ = ["register"]

_Replace = Annotated[
    bool, typer.Option("--replace", help="Where scores differ, take the newcomer's.")
]
_SHOWN_PROBLEMS = 20


def register(app: App) -> None:
    """Add the commands to ``llmattn cache``."""
    app.command("export")(user_paths(export))
    app.command("import")(user_paths(import_))
    app.command()(user_paths(merge))
    app.command()(user_paths(compact))
    app.command()(user_paths(verify))


def export(
    file: Path = typer.Argument(help="Ends in .parquet or .jsonl; - is standard output."),
    namespace: list[str] = typer.Option([], "--namespace", "-n", help="Only this one; repeat."),
    cache: CacheName = "lmdb",
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Write the scores to FILE, with what they are scores of."""
    from llmattn.cache.exchange import files

    with opened(cache, cache_dir) as store:
        chosen = [find_namespace(store, name).namespace for name in namespace] or None
        rows, pairs = files.write(file, contents(store, chosen))
    streamed = file == STDOUT
    if as_json:
        echo_json({"file": str(file), "rows": rows, "pairs": pairs}, err=streamed)
    else:
        size = f", {decimal(file.stat().st_size)}" if file.is_file() else ""
        echo(f"{file}: {counted(rows, 'row')}, {counted(pairs, 'pair')}{size}", err=streamed)


def import_(
    file: Path = typer.Argument(help="What `llmattn cache export` has written."),
    replace: _Replace = False,
    cache: CacheName = "lmdb",
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Merge the scores of FILE into the cache."""
    from llmattn.cache.exchange import files

    with opened(cache, cache_dir, create=True) as store:
        report = copy_into(store, files.read(file), replace=replace)
    _tell(report, as_json)


def merge(
    other: Path = typer.Argument(help="Folder of another LMDB cache."),
    replace: _Replace = False,
    cache: CacheName = "lmdb",
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Merge the scores of the cache in folder OTHER into this one."""
    file = locate_cache(cache_dir=other)
    if not file.exists():
        raise CacheError(f"There is no cache in {other}: {file.name} is missing.")
    with opened(cache, cache_dir, create=True) as store:
        source = open_cache(cache_dir=other)
        try:
            report = copy_into(store, contents(source), replace=replace)
        finally:
            source.close()
    _tell(report, as_json)


def compact(cache: CacheName = "lmdb", cache_dir: CacheDir = None, as_json: Json = False) -> None:
    """Pack the file anew, without the room that purged scores have left."""
    before, after = compact_cache(cache, cache_dir=cache_dir)
    if as_json:
        echo_json({"before": before, "after": after})
    else:
        echo(f"{decimal(before)} before, {decimal(after)} now")


def verify(
    drop: bool = typer.Option(
        False, "--drop", help="Keep a copy of a damaged file, and go on with its good records."
    ),
    cache: CacheName = "lmdb",
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Read every record and tell which are damaged; exits with 6 if any is left."""
    report = verify_cache(cache, cache_dir=cache_dir, drop=drop)
    if as_json:
        echo_json(attrs.asdict(report), indent=2)
    else:
        for problem in report.problems[:_SHOWN_PROBLEMS]:
            echo(problem)
        if len(report.problems) > _SHOWN_PROBLEMS:
            echo(f"... and {len(report.problems) - _SHOWN_PROBLEMS} more")
        found = counted(len(report.problems), "problem") if report.problems else "all well"
        echo(f"{report.path}: {counted(report.records, 'record')}, {found}")
        if report.kept_copy:
            echo(f"The damaged file was kept as {report.kept_copy}")
        elif report.problems:
            echo("Go on with the good records by: llmattn cache verify --drop")
    if report.problems and not report.kept_copy:
        raise typer.Exit(CacheDamaged.exit_code)


def _tell(report: TransferReport, as_json: bool) -> None:
    if as_json:
        echo_json(attrs.asdict(report))
        return
    echo(f"{counted(report.added, 'score')} added, {report.same:,} here already")
    if report.conflicts:
        settled = "replaced" if report.replaced else "kept as they were; --replace takes the others"
        echo(f"{report.conflicts:,} differ ({settled}), such as:")
        for example in report.examples:
            echo(f"  {example}")
