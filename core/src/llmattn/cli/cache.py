"""``llmattn cache``: look at the stored scores, and forget them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import typer
from rich.filesize import decimal
from rich.table import Table

from llmattn.cache.open import locate_cache
from llmattn.cache.packed_folder import forget_packed
from llmattn.cache.protocol import FileCache, NamespaceInfo, ScoreCache
from llmattn.cli import cache_files
from llmattn.cli.cache_options import CacheDir, CacheName, Json, describe, find_namespace, opened
from llmattn.cli.output import echo, echo_json
from llmattn.console import make_console
from llmattn.errors import CacheError, ConfigError
from llmattn.printable import printable

__all__ = ["app"]

app = typer.Typer(
    help="Look at the stored scores, move, check and forget them.", no_args_is_help=True
)


@app.command()
def path(cache: CacheName = "lmdb", cache_dir: CacheDir = None, as_json: Json = False) -> None:
    """Print where the cache keeps its file."""
    file = locate_cache(cache, cache_dir=cache_dir)
    if as_json:
        echo_json({"path": str(file), "exists": file.exists()})
    else:
        echo(str(file))


@app.command("ls")
def ls(cache: CacheName = "lmdb", cache_dir: CacheDir = None, as_json: Json = False) -> None:
    """List the namespaces, one a line."""
    with opened(cache, cache_dir) as store:
        listed = store.namespaces()
    if as_json:
        echo_json([_plain(info) for info in listed], indent=2)
        return
    table = Table("namespace", "scores of", "rows", "pairs", "size", "cost", "updated", box=None)
    for column in table.columns[2:6]:
        column.justify = "right"
    for info in listed:
        table.add_row(
            info.namespace[:12],
            describe(info),
            f"{info.rows:,}",
            f"{info.pairs:,}",
            decimal(info.bytes),
            _cost(info),
            _date(info.updated),
        )
    if listed:
        make_console().print(table)
    else:
        echo("The cache is empty.")


@app.command()
def stats(cache: CacheName = "lmdb", cache_dir: CacheDir = None, as_json: Json = False) -> None:
    """Tell what each namespace holds, where its scores come from and what they cost."""
    with opened(cache, cache_dir) as store:
        listed = store.namespaces()
        file = store.path if isinstance(store, FileCache) else None
    size = file.stat().st_size if file else sum(info.bytes for info in listed)
    totals = {
        "cache": str(file or cache),
        "bytes": size,
        "pairs": sum(info.pairs for info in listed),
        "cost": sum(info.usage.cost for info in listed),
    }
    if as_json:
        echo_json({**totals, "namespaces": [_plain(i) for i in listed]}, indent=2)
        return
    console = make_console()
    console.print(f"{totals['cache']}: {decimal(size)}, {totals['pairs']:,} pairs", soft_wrap=True)
    for info in listed:
        console.print()
        console.print(_details(info))


@app.command()
def show(
    word: str = typer.Argument(help="A query: which words does it attend to?"),
    namespace: str = typer.Option("", "--namespace", "-n", help="Namespace, provider or model."),
    top: int = typer.Option(10, min=1, help="How many keys of each channel."),
    cache: CacheName = "lmdb",
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Show the strongest keys of WORD."""
    answers: list[dict[str, Any]] = []
    with opened(cache, cache_dir) as store:
        chosen = [find_namespace(store, namespace)] if namespace else store.namespaces()
        for info in chosen:
            keys, contexts = _strongest(store, info, word)
            for channel, ranked in keys.items():
                answers.append(
                    {
                        "namespace": info.namespace,
                        "provider": describe(info),
                        "channel": channel,
                        "texts": contexts,
                        "keys": [{"key": k, "score": v} for k, v in ranked[:top]],
                    }
                )
    if as_json:
        echo_json(answers, indent=2)
        return
    if not answers:
        raise CacheError(
            f"No scores of the query {word!r} are stored. Words are kept as the tokenizer "
            "writes them, mostly in lower case."
        )
    for answer in answers:
        of = f", mean over {answer['texts']} texts" if answer["texts"] else ""
        echo(f"{answer['provider']}, {answer['channel']}{of}:")
        for item in answer["keys"]:
            echo(f"  {item['score']:.3f}  {_shown(item['key'])}")


@app.command()
def purge(
    namespace: str = typer.Argument(help="Namespace (its first digits do), provider or model."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    cache: CacheName = "lmdb",
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Forget the scores of one namespace."""
    with opened(cache, cache_dir) as store:
        info = find_namespace(store, namespace)
        if not yes:
            cost = f", which cost {_cost(info)}" if info.usage.cost else ""
            question = f"Forget {info.pairs:,} scores of {describe(info)}{cost}?"
            try:
                typer.confirm(printable(question), abort=True, err=True)
            except typer.Abort:
                raise ConfigError("Nothing was purged; --yes purges without asking.") from None
        store.purge(info.namespace)
        forget_packed(store, info.namespace)
    if as_json:
        echo_json({"purged": info.namespace, "pairs": info.pairs})
    else:
        echo(f"Forgot {info.pairs:,} scores of {describe(info)}.")
        if isinstance(store, FileCache):
            echo("The file keeps its size until: llmattn cache compact")


def _strongest(
    cache: ScoreCache, info: NamespaceInfo, word: str
) -> tuple[dict[str, list[tuple[str, float]]], int]:
    """Keys of ``word`` by channel, the strongest first; and how many texts they come from."""
    sums: dict[str, list[Any]] = {}
    texts = 0
    for row, scores in cache.scan(info.namespace):
        if word not in (row.query, row.query.strip()):  # texts keep the space before a word
            continue
        texts += bool(row.context)
        for i, key in enumerate(row.keys):
            if scores[0, i] == scores[0, i]:  # not NaN
                entry = sums.setdefault(key, [0, 0.0])
                entry[0] += 1
                entry[1] = entry[1] + scores[:, i]
    ranked = {
        channel: sorted(
            ((key, float(total[c] / n)) for key, (n, total) in sums.items()),
            key=lambda item: (-item[1], item[0]),
        )
        for c, channel in enumerate(info.identity.channels)
    }
    return (ranked if sums else {}), texts


def _shown(key: str) -> str:
    return key if key.isprintable() and key == key.strip() else repr(key)


def _details(info: NamespaceInfo) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    identity, usage = info.identity, info.usage
    table.add_row("namespace", info.namespace)
    table.add_row("provider", f"{identity.provider} (scoring revision {identity.revision})")
    for name, value in identity.details:
        table.add_row(name, str(value))
    table.add_row("scope", identity.scope.value)
    table.add_row("channels", ", ".join(identity.channels))
    table.add_row("holds", f"{info.rows:,} rows, {info.pairs:,} pairs, {decimal(info.bytes)}")
    table.add_row("created", _date(info.created))
    table.add_row("updated", _date(info.updated))
    if usage.requests:
        tokens = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens"
        table.add_row("paid", f"{usage.requests:,} requests, {tokens}, {_cost(info)}")
    return table


def _cost(info: NamespaceInfo) -> str:
    if info.usage.cost:
        return f"${info.usage.cost:.4f}"
    return "not known" if info.usage.prompt_tokens else "-"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _plain(info: NamespaceInfo) -> dict[str, Any]:
    return {
        "namespace": info.namespace,
        "identity": info.identity.to_dict(),
        "rows": info.rows,
        "pairs": info.pairs,
        "bytes": info.bytes,
        "created": info.created,
        "updated": info.updated,
        "usage": attrs.asdict(info.usage),
    }


cache_files.register(app)
