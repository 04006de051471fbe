"""The provider `transformers` with other families of models, tokenizers and scripts: each works, or
says in one line why not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llmattn.errors import LlmattnError
from llmattn.rows import Row, Scores, prefix_rows
from llmattn_transformers.pieces import PieceEncoder
from support_transformers import PIECES, byte_level, provider_of, save_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

IN_CONTEXT = ("attention", "copy", "ablation", "gradient")
_NO_STATE = r"cannot go on with a text that it has read \([^\n]+\)\. Choose another --method"
_BOTH_WAYS = "reads what comes after a word as well"
_NO_LANGUAGE_MODEL = "is no causal language model"
REFUSED = {
    "gemma3": {"ablation": "look back 4 tokens at most, so of a text of 8 no word"},
    "bloom": {"ablation": r"cannot read a text without one of its words \(BloomForCausalLM"},
    "gpt_neo": {
        "attention": "shows no attention map of each layer",
        "ablation": "cannot read a text without one of its words|no word can be left out",
    },
    "mamba": {"attention": "has no attention to read", "copy": _NO_STATE, "ablation": _NO_STATE},
    "jamba": {"attention": _NO_STATE, "copy": _NO_STATE, "ablation": _NO_STATE},
    "bert": dict.fromkeys(IN_CONTEXT, _BOTH_WAYS),
    "bert-masked": dict.fromkeys(IN_CONTEXT, _NO_LANGUAGE_MODEL),
}
WORKING = ("llama", "gpt2", "qwen2", "qwen3", "gemma", "mixtral", "bert-left-to-right")
TEXT = PIECES[:8]
SCRIPTS = {
    "Chinese": ("我", "看見", "一隻", "貓", "。", "\n", "貓", "跑", "了"),
    "Arabic": ("رأيت", " قِطّةً", " في", " البيت", "،", " ثم", " هربت", "."),
    "emoji": ("👩‍👩‍👧", " ❤️", "🇺🇳", " ok", " 🐈‍⬛", "!"),
}


def ask(provider: Any, rows: Sequence[Row]) -> list[Scores]:
    return list(asyncio.run(provider.score(rows)).scores)


@pytest.mark.parametrize("family", [*WORKING, *REFUSED])
def test_each_family_works_or_says_in_one_line_why_not(family: str, tmp_path: Path) -> None:
    model, rows = save_model(tmp_path, family), prefix_rows(TEXT)
    for method in IN_CONTEXT:
        if why := REFUSED.get(family, {}).get(method):
            with pytest.raises(LlmattnError, match=why) as refused:
                ask(provider_of(model, method=method), rows)
            assert "\n" not in str(refused.value)
            continue
        together = ask(provider_of(model, method=method), rows)
        one_by_one = provider_of(model, method=method)
        for row, scores in zip(rows, together, strict=True):
            assert np.isfinite(scores).all()
            assert (scores >= 0).all()
            assert (scores <= 1).all()
            (alone,) = ask(one_by_one, [row])
            np.testing.assert_allclose(alone, scores, atol=1e-3)
    (scores,) = ask(provider_of(model, method="embedding"), [Row("cat", ["cat", "dog"])])
    assert scores[0, 0] > scores[0, 1]


@pytest.mark.parametrize("family", ["qwen3", "gemma3", "mixtral"])
def test_attention_is_that_of_the_library_in_windows_and_among_experts(
    family: str, tmp_path: Path
) -> None:
    kind: Any = AutoModelForCausalLM
    model = kind.from_pretrained(save_model(tmp_path, family), attn_implementation="eager")
    letters = tuple("a cat saw")
    ids = torch.tensor([PieceEncoder(AutoTokenizer.from_pretrained(tmp_path)).encode(letters).ids])
    assert ids.shape[1] == 1 + len(letters)
    with torch.inference_mode():
        maps = model(ids, output_attentions=True).attentions
    for i, scores in enumerate(ask(provider_of(tmp_path), prefix_rows(letters))):
        for layer, heads in enumerate(maps):
            own = heads[0].mean(0)[i + 1, 1 : i + 2].numpy()
            np.testing.assert_allclose(scores[layer], own / own.sum(), atol=1e-5)


def unigram(*, prefix: str = "always", normal: bool = False) -> Tokenizer:
    """As SentencePiece's: spaces are ▁, and what is in no vocabulary is spelt in bytes."""
    words = ["▁", "▁the", "a", "▁a", "貓", "看見", "ال", "\n"]
    scored = [(word, -2.0) for word in ["<s>", "<unk>", *words]]
    made = Tokenizer(
        models.Unigram([*scored, *((f"<0x{n:02X}>", -9.0) for n in range(256))], 1, True)
    )
    if normal:
        made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix)
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return made


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "bytes": byte_level,
    "unigram": unigram,
    "unigram that adds no space": lambda: unigram(prefix="never"),
    "unigram with NFKC": lambda: unigram(normal=True),
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_each_piece_in_any_script_keeps_its_letters(kind: str, script: str) -> None:
    wrapped: Any = PreTrainedTokenizerFast
    tokenizer = wrapped(tokenizer_object=TOKENIZERS[kind](), bos_token="<s>")
    pieces = SCRIPTS[script]
    encoded = PieceEncoder(tokenizer).encode(pieces)
    starts = (1, *encoded.ends[:-1])
    for piece, start, end in zip(pieces, starts, encoded.ends, strict=True):
        assert start < end
        # Behind a letter, since decoders take a space away that stands first.
        first = tokenizer.convert_tokens_to_ids("a")
        assert tokenizer.decode([first, *encoded.ids[start:end]]) == f"a{piece}"


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("kind", ["bytes", "unigram"])
def test_texts_in_any_script_have_scores(kind: str, script: str, tmp_path: Path) -> None:
    model = save_model(tmp_path, tokenizer=TOKENIZERS[kind]())
    rows = prefix_rows(SCRIPTS[script])
    for row, scores in zip(rows, ask(provider_of(model), rows), strict=True):
        assert scores.shape == (2, len(row.keys))
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
