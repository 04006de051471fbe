"""``llmattn score``: fill the cache with the scores that a corpus needs."""

from __future__ import annotations

import typer

from llmattn.cli import options as o
from llmattn.cli.parsing import parse_options

__all__ = ["score"]


def score(
    corpus: o.CorpusArgument,
    min_count: o.MinCount = 1,
    tokenizer: o.TokenizerPreset = "words",
    block_size: o.BlockSize = 64,
    val_fraction: o.ValFraction = 0.1,
    provider: o.Provider = None,
    model: o.Model = None,
    option: o.Option = None,
    cache: o.CacheName = "lmdb",
    cache_dir: o.CacheDir = None,
    max_cost: o.MaxCost = None,
    max_requests: o.MaxRequests = None,
    price_in: o.PriceIn = None,
    price_out: o.PriceOut = None,
    coverage: o.Coverage = 1.0,
    min_pair_count: o.MinPairCount = 1,
    rpm: o.Rpm = None,
    tpm: o.Tpm = None,
    requests_at_once: o.RequestsAtOnce = None,
    max_degenerate: o.MaxDegenerate = 0.5,
) -> None:
    """Ask for the scores that CORPUS needs and the cache lacks, most frequent pairs first.

    Stop it at any time: what was answered is kept, and the same command goes on from there.
    See `llmattn plan` for what it will cost.
    """
    from llmattn.data.corpus import load_corpus
    from llmattn.data.corpus_pairs import corpus_pairs
    from llmattn.data.fill import fill_pairs
    from llmattn.data.selection import select_pairs
    from llmattn.scoring.source import open_sources

    scoring = o.scoring_options(
        max_cost=max_cost,
        max_requests=max_requests,
        price_in=price_in,
        price_out=price_out,
        rpm=rpm,
        tpm=tpm,
        requests_at_once=requests_at_once,
        max_degenerate=max_degenerate,
    )
    text = load_corpus(corpus, preset=tokenizer, min_count=min_count, val_fraction=val_fraction)
    _, pairs = corpus_pairs(text, block_size)
    wanted = select_pairs(pairs, coverage=coverage, min_pair_count=min_pair_count)
    sources = open_sources(
        provider or (),
        options=parse_options(option or ()),
        model=model,
        cache=cache,
        cache_dir=cache_dir,
        text=text.train_words(),
        scoring=scoring,
    )
    try:
        for source in sources:
            report = fill_pairs(source, wanted, text.tokenizer.vocabulary)
            typer.echo(source.summary(report))
    finally:
        for source in sources:
            source.close()
