"""How a text is read. Imports nothing heavy."""

from __future__ import annotations

from attrs import frozen

from llmattn.options import TEXT, option

__all__ = ["TextConfig"]


@frozen
class TextConfig:
    """What a token is, and which lines are for training. Raises ConfigError."""

    min_count: int = option(
        1,
        help="Words that the training lines hold less often become <unk>.",
        panel=TEXT,
        at_least=1,
        at_most=10**12,
    )
    tokenizer: str = option(
        "words",
        help="What a token is: words, bpe (pieces of words), or seed (the regex \\w+|\\.).",
        panel=TEXT,
    )
    vocab_size: int = option(
        4096,
        help="How many tokens `bpe` learns.",
        panel=TEXT,
        at_least=1,
        at_most=10**12,
    )
    stream: bool = option(
        False,
        help="Read the text as one stream: windows run on over line ends, as in nanoGPT.",
        panel=TEXT,
    )
    val_fraction: float = option(
        0.1,
        help="Share of the lines, after the training lines, to validate on.",
        panel=TEXT,
        above=0,
        below=1,
    )
    test_fraction: float = option(
        0.0,
        help="Share of the lines, the last, to test the best weights on at the end.",
        panel=TEXT,
        at_least=0,
        below=1,
    )
