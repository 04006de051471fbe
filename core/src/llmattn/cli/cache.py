"""``llmattn cache``: look at the stored scores, and forget them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import attrs
import typer
from rich.filesize import decimal

from llmattn.cache.open import locate_cache
from llmattn.cache.protocol import FileCache, NamespaceInfo, ScoreCache
from llmattn.cli import cache_files
from llmattn.cli.app import App
from llmattn.cli.cache_options import (
    CacheDir,
    CacheName,
    Json,
    describe,
    find_namespace,
    opened,
)
from llmattn.cli.cache_table import cost, namespace_table
from llmattn.cli.output import echo, echo_json
from llmattn.cli.packed import date, describe_packed
from llmattn.console import Table, make_console
from llmattn.errors import CacheError, ConfigError
from llmattn.feeds.packed_folder import Packed, forget_orphans, forget_packed, packed_of
from llmattn.printable import printable
from llmattn.wording import counted

__all__ = ["app"]

app = App(help="Look at the stored scores, move, check and forget them.", no_args_is_help=True)


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
        listed, packed = store.namespaces(), packed_of(store)
    if as_json:
        echo_json([_plain(info, packed) for info in listed], indent=2)
        return
    table = namespace_table(listed, packed)
    if table.rows:
        make_console().print(table)
    else:
        echo("The cache is empty.")


@app.command()
def stats(cache: CacheName = "lmdb", cache_dir: CacheDir = None, as_json: Json = False) -> None:
    """Tell what each namespace holds, where its scores come from and what they cost."""
    with opened(cache, cache_dir) as store:
        listed, packed = store.namespaces(), packed_of(store)
        file = store.path if isinstance(store, FileCache) else None
    size = file.stat().st_size if file else sum(info.bytes for info in listed)
    pairs = sum(info.pairs for info in listed)
    totals = {
        "cache": str(file or cache),
        "bytes": size,
        "pairs": pairs,
        "cost": sum(info.usage.cost for info in listed),
        "packed_bytes": sum(found.bytes for found in packed.values()),
    }
    known = {info.namespace for info in listed}
    orphans = [found for name, found in packed.items() if name not in known]
    if as_json:
        plain = {
            "namespaces": [_plain(info, packed) for info in listed],
            "packed_orphans": [attrs.asdict(found) for found in orphans],
        }
        echo_json({**totals, **plain}, indent=2)
        return
    console = make_console()
    packed_size = decimal(sum(found.bytes for found in packed.values()))
    beside = f", and {packed_size} packed beside it" if packed else ""
    line = f"{totals['cache']}: {decimal(size)}, {counted(pairs, 'pair')}{beside}"
    console.print(line, soft_wrap=True)
    for info in listed:
        console.print()
        console.print(_details(info, packed.get(info.namespace)))
    if orphans:
        console.print()
        console.print(
            f"Packed of namespaces that are not in the cache: {describe_packed(orphans)}. Remove "
            "them by: llmattn cache purge --orphans",
            soft_wrap=True,
        )


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
    namespace: Optional[str] = typer.Argument(  # noqa: UP045
        None, help="Namespace (its first digits do), provider or model."
    ),
    orphans: bool = typer.Option(
        False, "--orphans", help="Remove packed scores of namespaces that the cache lacks."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    cache: CacheName = "lmdb",
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Forget the scores of one namespace, and what is packed of them."""
    if bool(namespace) == orphans:
        raise ConfigError("Name a namespace to forget, or --orphans; one of them.")
    with opened(cache, cache_dir) as store:
        if namespace is None:
            gone = _purge_orphans(store, yes=yes)
        else:
            info = find_namespace(store, namespace)
            paid = f", which cost {cost(info)}" if info.usage.cost else ""
            _confirm(f"Forget {counted(info.pairs, 'score')} of {describe(info)}{paid}?", yes=yes)
            packed = packed_of(store).get(info.namespace)
            store.purge(info.namespace)
            forget_packed(store, info.namespace)
            gone = [packed] if packed else []
    files = [attrs.asdict(each) for each in gone]
    if namespace is None:
        if as_json:
            echo_json({"packed": files})
        else:
            echo(f"Removed packed scores: {describe_packed(gone)}." if gone else "None is there.")
    elif as_json:
        echo_json({"purged": info.namespace, "pairs": info.pairs, "packed": files})
    else:
        beside = f", and packed ones: {describe_packed(gone)}" if gone else ""
        echo(f"Forgot {counted(info.pairs, 'score')} of {describe(info)}{beside}.")
        if isinstance(store, FileCache):
            echo("The file keeps its size until: llmattn cache compact")


def _purge_orphans(store: ScoreCache, *, yes: bool) -> list[Packed]:
    known = {info.namespace for info in store.namespaces()}
    found = [packed for name, packed in packed_of(store).items() if name not in known]
    if found:
        _confirm(f"Remove packed scores that have no namespace: {describe_packed(found)}?", yes=yes)
    return forget_orphans(store, known)


def _confirm(question: str, *, yes: bool) -> None:
    """Ask, unless ``yes``. Raises ConfigError if the answer is no."""
    if not yes:
        try:
            typer.confirm(printable(question), abort=True, err=True)
        except typer.Abort:
            raise ConfigError("Nothing was purged; --yes purges without asking.") from None


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


def _details(info: NamespaceInfo, packed: Packed | None) -> Table:
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
    table.add_row(
        "holds",
        f"{counted(info.rows, 'row')}, {counted(info.pairs, 'pair')}, {decimal(info.bytes)}",
    )
    if packed is not None:
        table.add_row("packed", describe_packed([packed]))
    table.add_row("created", date(info.created))
    table.add_row("updated", date(info.updated))
    if usage.requests:
        tokens = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens"
        table.add_row("paid", f"{counted(usage.requests, 'request')}, {tokens}, {cost(info)}")
    return table


def _plain(info: NamespaceInfo, packed: Mapping[str, Packed]) -> dict[str, Any]:
    return {
        "namespace": info.namespace,
        "identity": info.identity.to_dict(),
        "rows": info.rows,
        "pairs": info.pairs,
        "bytes": info.bytes,
        "created": info.created,
        "updated": info.updated,
        "usage": attrs.asdict(info.usage),
        "packed": attrs.asdict(packed[info.namespace]) if info.namespace in packed else None,
    }


cache_files.register(app)
