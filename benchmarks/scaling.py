"""What a text of any size takes to read, to store, to train with and to compare, by arithmetic.

``python -m benchmarks.scaling`` prints the tables of docs/scaling.md. Nothing is measured here:
tests/engine/test_scaling.py holds each function against a small real run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from attrs import frozen
from llmattn.model.config import ModelConfig
from llmattn.model.shapes import parameter_count, parameter_shapes

__all__ = [
    "MACHINE",
    "band_bytes",
    "pair_table_bytes",
    "reading_flops",
    "reading_requests",
    "reply_tokens",
    "step_flops",
    "triangle_bytes",
    "triangle_scores",
]


@frozen
class Machine:
    """One device, as it is used: products a second, bytes a second from its disk."""

    name: str
    flops: float
    disk: float


MACHINE = Machine("a GPU that makes 10^14 products and sums a second", 1e14, 3e9)
TEACHER, TEACHER_LAYERS, TEACHER_WIDTH = 134_515_008, 30, 576
"""SmolLM2-135M: parameters, layers, width."""
SIZES = (10**6, 10**9, 10**12)
"""Tokens of the text."""
WINDOW, CHANNELS, BAND, VOCABULARY = 256, 8, 32, 50_000
STUDENTS = {10**6: (3, 64), 10**9: (12, 512), 10**12: (48, 8192)}
"""Layers and width of a model that so much text is enough for: about 20 tokens a parameter."""
EPOCHS = {10**6: 10, 10**9: 1, 10**12: 1}
ARMS, RATES, SEEDS = 4, 4, 5


def triangle_scores(tokens: int, window: int) -> int:
    """Scores of a channel for a stream of so many tokens in windows: whole lower triangles."""
    whole, rest = divmod(tokens, window)
    return whole * (window * (window + 1) // 2) + rest * (rest + 1) // 2


def triangle_bytes(tokens: int, window: int, channels: int, width: int = 1) -> int:
    """Bytes of a file of packed triangles; ``width``: 1 for uint8, 2 for float16."""
    return triangle_scores(tokens, window) * channels * width


def band_bytes(tokens: int, window: int, band: int, channels: int, width: int = 1) -> int:
    """The same if a query kept only the ``band`` keys next to it; llmattn has no such file."""
    outside = max(0, window - band)
    whole, rest = divmod(tokens, window)
    cut = whole * (outside * (outside + 1) // 2)
    left = max(0, rest - band)
    cut += left * (left + 1) // 2
    return (triangle_scores(tokens, window) - cut) * channels * width


def pair_table_bytes(vocabulary: int, channels: int, width: int = 2) -> int:
    """A dense table of scores of pairs, whatever the length of the text."""
    return vocabulary**2 * channels * width


def reading_requests(tokens: int, window: int, pairs_per_request: int) -> int:
    """Requests for all rows in context, if each is filled: a window has a row a token but the
    first, with as many keys as its place.
    """
    scores = triangle_scores(tokens, window) - -(-tokens // window)
    return -(-scores // pairs_per_request)


def reply_tokens(tokens: int, window: int) -> int:
    """What an API bills at the least for scores in context: a reply token a score."""
    return triangle_scores(tokens, window) - -(-tokens // window)


def reading_flops(tokens: int, window: int) -> int:
    """Of a language model that reads each window once: two for each parameter and token, and its
    own attention.
    """
    own = 2 * 2 * TEACHER_LAYERS * TEACHER_WIDTH * (window + 1) // 2
    return tokens * (2 * TEACHER + own)


def step_flops(config: ModelConfig, windows: int) -> int:
    """Of one training step over so many whole windows: products of matrices forward, and twice as
    many backward; weights by the triangle, whose blocks take some more.
    """
    length = config.block_size
    matrices = sum(
        shape[0] * shape[1]
        for name, shape in parameter_shapes(config).items()
        if len(shape) == 2 and name.startswith(("token", "blocks"))
    )
    triangle = length * (length + 1) // 2
    mixed = config.n_layer if config.per_layer else 1
    scores = mixed * config.n_head * len(config.channels) * triangle
    if config.uses_query_key:
        scores += config.n_layer * config.n_embd * triangle
    values = config.n_layer * config.n_embd * triangle
    forward = 2 * (matrices * length + scores + values)
    without = 2 * mixed * config.n_head * len(config.channels) * triangle  # scores have no gradient
    return windows * (3 * forward - without)


def student(tokens: int) -> ModelConfig:
    """The model that is trained on a text of this size."""
    layers, width = STUDENTS[tokens]
    config = ModelConfig.from_options(
        n_layer=layers, n_embd=width, n_head=max(4, width // 64), block_size=WINDOW
    )
    return config.fitted(VOCABULARY if tokens > 10**6 else 4_000, _names(CHANNELS))


def _names(channels: int) -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(channels))


def rows() -> Iterator[Sequence[str]]:
    """The table, a size a column."""
    yield "tokens", "1 million", "1 billion", "1 trillion"
    yield "read: scores in context a channel", *(_big(triangle_scores(n, WINDOW)) for n in SIZES)
    reading = [reading_flops(n, WINDOW) / MACHINE.flops for n in SIZES]
    yield "read: SmolLM2-135M, one GPU", *map(_time, reading)
    yield (
        "read: an API, reply tokens a channel at the least",
        *(_big(reply_tokens(n, WINDOW)) for n in SIZES),
    )
    yield "the same at $1 a million", *("$" + _big(reply_tokens(n, WINDOW) / 1e6) for n in SIZES)
    for channels in (1, CHANNELS, 30):
        yield (
            f"store: triangles, {channels} channel{'s' * (channels > 1)}",
            *(_size(triangle_bytes(n, WINDOW, channels)) for n in SIZES),
        )
    yield (
        f"store: bands of {BAND} keys, {CHANNELS} channels",
        *(_size(band_bytes(n, WINDOW, BAND, CHANNELS)) for n in SIZES),
    )
    yield (
        f"store: pairs of {VOCABULARY:,} words, 1 channel",
        *(_size(pair_table_bytes(VOCABULARY, 1)) for _ in SIZES),
    )
    models = [student(n) for n in SIZES]
    yield "train: parameters", *(_big(parameter_count(model)) for model in models)
    yield "train: memory, 16 bytes a parameter", *(_size(16 * parameter_count(m)) for m in models)
    seconds = [
        step_flops(model, 1) * (n / WINDOW) * EPOCHS[n] / MACHINE.flops
        for n, model in zip(SIZES, models, strict=True)
    ]
    yield "train: one GPU", *map(_time, seconds)
    load = [triangle_bytes(n, WINDOW, CHANNELS) * EPOCHS[n] / MACHINE.disk for n in SIZES]
    yield f"train: reading {CHANNELS} channels from a disk of 3 GB/s", *map(_time, load)
    runs = ARMS * (RATES + SEEDS - 1)
    yield f"compare: {runs} runs, one GPU", *(_time(runs * each) for each in seconds)


def _big(count: float) -> str:
    for power, name in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {name}"
    return f"{count:.3g}"


def _size(count: float) -> str:
    return f"{_big(count)}B" if count >= 1000 else f"{count:.0f} B"


def _time(seconds: float) -> str:
    for length, name in ((31_557_600, "years"), (86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {name}"
    return f"{seconds:.2g} s"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    head, *others = rows()
    for row in (head, ["---", *["---:"] * len(SIZES)], *others):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
