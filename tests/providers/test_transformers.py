"""The provider `transformers` with small models of random weights: what holds for every model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llmattn.cache.memory import MemoryCache
from llmattn.cache.settings import MemorySettings
from llmattn.errors import ConfigError, ProviderRejected
from llmattn.feeds.channels import reading_of
from llmattn.feeds.windows import window_scores
from llmattn.rows import Row, Scope, prefix_rows
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.source import ScoreSource
from llmattn.testing.providers import check_provider
from llmattn_transformers.provider import TransformersProvider
from llmattn_transformers.teacher import load_teacher
from llmattn_transformers.weights import find_weights
from support_transformers import PIECES, provider_of, save_model
from transformers import AutoModelForCausalLM, AutoTokenizer


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("gpt2"), "gpt2")


def ask(provider: TransformersProvider, rows: Sequence[Row]) -> list[Any]:
    return list(asyncio.run(provider.score(rows)).scores)


def texts(count: int) -> list[tuple[str, ...]]:
    """Texts of several lengths, none the beginning of another."""
    return [PIECES[start:] for start in range(count)]


@pytest.mark.parametrize("method", ["attention", "ablation", "embedding", "gradient+copy"])
def test_a_method_passes_the_kit_with_its_proof_of_causality(llama: Path, method: str) -> None:
    check_provider(lambda: provider_of(llama, method=method), text=PIECES, tolerance=1e-4, rows=50)


@pytest.mark.parametrize("method", ["attention", "ablation"])
def test_a_model_of_another_kind_passes_the_kit(gpt2: Path, method: str) -> None:
    check_provider(lambda: provider_of(gpt2, method=method), text=PIECES, tolerance=1e-4, rows=50)


@pytest.mark.parametrize("channels", ["layers", "heads", "1,0.1"])
def test_rows_sum_to_one_in_each_channel(llama: Path, channels: str) -> None:
    rows = prefix_rows(PIECES)
    for row, scores in zip(rows, ask(provider_of(llama, channels=channels), rows), strict=True):
        assert scores.shape[1] == len(row.keys)
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)


def test_attention_is_that_of_the_library_folded_without_the_start(llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    kind: Any = AutoModelForCausalLM
    model = kind.from_pretrained(llama, attn_implementation="eager")
    text = (*PIECES, " bananas", " fly")  # words of several sub-words
    ids, owner = [tokenizer.bos_token_id], [-1]
    for piece, written in enumerate(text):
        pieces = tokenizer(written, add_special_tokens=False)["input_ids"]
        ids += pieces
        owner += [piece] * len(pieces)
    assert len(ids) > len(text) + 4
    with torch.inference_mode():
        maps = model(torch.tensor([ids]), output_attentions=True).attentions
    scores = ask(provider_of(llama), prefix_rows(text))
    for layer, heads in enumerate(maps):
        whole = heads[0].mean(0).numpy()
        folded = np.zeros((len(text), len(text)))
        for query, key in np.ndindex(whole.shape):
            if owner[query] >= 0 and owner[key] >= 0:
                folded[owner[query], owner[key]] += whole[query, key] / owner.count(owner[query])
        folded /= folded.sum(1, keepdims=True)
        for i, row in enumerate(scores):
            np.testing.assert_allclose(row[layer], folded[i, : i + 1], atol=1e-5)


def test_a_list_of_channels_picks_from_all_heads(llama: Path) -> None:
    rows = prefix_rows(PIECES)
    picked = provider_of(llama, channels="1.0, 00.1")
    assert picked.channels == ("L01H0", "L00H1")
    for some, every in zip(
        ask(picked, rows), ask(provider_of(llama, channels="heads"), rows), strict=True
    ):
        np.testing.assert_allclose(some, every[[2, 1]], atol=1e-6)


@pytest.mark.parametrize("method", ["attention", "attention+copy"])
def test_a_list_of_channels_is_served_from_what_layers_and_heads_have(
    llama: Path, method: str
) -> None:
    rows, cache = prefix_rows(PIECES), MemoryCache(MemorySettings())
    expected = ask(provider_of(llama, channels="1.1,0", method=method), rows)
    for channels in ("layers", "heads"):
        stored = provider_of(llama, channels=channels, method=method)
        ScoreSource("transformers", stored, cache).fill(rows)
    picked = provider_of(llama, channels="1.1,0", method=method)
    source = ScoreSource("transformers", picked, cache, ScoringOptions(ask=False))
    assert source.missing(rows) == []
    for found, wanted in zip(source.scores(rows), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert len(cache.namespaces()) == 2


def test_what_only_one_of_layers_and_heads_has_is_not_served_by_halves(llama: Path) -> None:
    rows, cache = prefix_rows(PIECES), MemoryCache(MemorySettings())
    ScoreSource("transformers", provider_of(llama), cache).fill(rows)
    both = ScoreSource("transformers", provider_of(llama, channels="1.1,0"), cache)
    assert len(both.missing(rows)) == len(rows)
    assert all(np.isnan(scores).all() for scores in both.stored(rows))
    one = ScoreSource("transformers", provider_of(llama, channels="1"), cache)
    assert one.missing(rows) == []


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_reading_stops_at_the_last_layer_that_it_needs(
    kind: str, llama: Path, gpt2: Path
) -> None:
    model, rows = {"llama": llama, "gpt2": gpt2}[kind], prefix_rows(PIECES)
    whole, first = provider_of(model), provider_of(model, channels="0")
    both = provider_of(model, channels="0", method="attention+copy")
    together = ask(whole, rows)  # all three share one teacher
    ask(first, rows[:1])
    teacher = load_teacher(find_weights(str(model)), "cpu")
    seen: list[int] = []
    hooks = [
        module.register_forward_pre_hook(lambda m, _: seen.append(m.layer_idx))
        for module in teacher.model.modules()
        if type(module).__name__.endswith("Attention") and hasattr(module, "layer_idx")
    ]
    many = [row for text in texts(6) for row in prefix_rows(text)]
    alone, batch = ask(first, rows), ask(first, many)
    assert {*seen} == {0}
    for hook in hooks:
        hook.remove()
    for found, expected in zip(alone, together, strict=True):
        np.testing.assert_allclose(found, expected[:1], atol=1e-5)
    for found, expected in zip(batch, ask(whole, many), strict=True):
        np.testing.assert_allclose(found, expected[:1], atol=1e-5)
    # What was read in part is gone on with, and read anew where all layers are needed.
    longer = (*PIECES, " two", " mice")
    copied = ask(provider_of(model, method="copy"), prefix_rows(longer))
    for part, copy in zip(ask(both, prefix_rows(longer)), copied, strict=True):
        np.testing.assert_allclose(part[1:], copy, atol=1e-5)
    (last,) = ask(first, prefix_rows((*longer, "."))[-1:])
    (every,) = ask(whole, prefix_rows((*longer, "."))[-1:])
    np.testing.assert_allclose(last, every[:1], atol=1e-5)


@pytest.mark.parametrize("method", ["attention", "copy", "ablation", "gradient"])
def test_a_row_alone_equals_the_row_among_those_of_its_text(llama: Path, method: str) -> None:
    rows = prefix_rows(PIECES)
    together = ask(provider_of(llama, method=method), rows)
    for row, expected in zip(rows, together, strict=True):
        (alone,) = ask(provider_of(llama, method=method), [row])
        np.testing.assert_allclose(alone, expected, atol=1e-4)


@pytest.mark.parametrize("method", ["attention", "attention+copy", "ablation"])
def test_going_on_with_a_text_equals_reading_it_anew(llama: Path, method: str) -> None:
    rows = prefix_rows(PIECES)
    together = ask(provider_of(llama, method=method), rows)
    word_by_word = provider_of(llama, method=method)
    for row, expected in zip(rows, together, strict=True):
        (found,) = ask(word_by_word, [row])
        np.testing.assert_allclose(found, expected, atol=1e-4)
    other = (*PIECES[:6], " two", " mice")  # back to an earlier place, and another way from there
    np.testing.assert_allclose(
        ask(word_by_word, prefix_rows(other)[-1:])[0],
        ask(provider_of(llama, method=method), prefix_rows(other))[-1],
        atol=1e-4,
    )


def test_methods_joined_give_their_channels_side_by_side(llama: Path) -> None:
    rows = prefix_rows(PIECES)
    both = provider_of(llama, method="copy+attention+ablation")
    assert both.channels == ("copy", "L00", "L01", "ablation.change", "ablation.share")
    parts = [ask(provider_of(llama, method=m), rows) for m in ("copy", "attention", "ablation")]
    for joined, *single in zip(ask(both, rows), *parts, strict=True):
        np.testing.assert_allclose(joined, np.concatenate(single), atol=1e-6)


def test_each_channel_says_whether_it_adds_up_to_one_and_how_it_is_read(llama: Path) -> None:
    provider = provider_of(llama, method="attention+copy+ablation+gradient")
    rows = ask(provider, prefix_rows(PIECES)[1:])
    totals = np.stack([row.sum(axis=1) for row in rows], axis=1)
    add_up = [bool(np.allclose(total, 1, atol=1e-5)) for total in totals]
    assert list(provider.normalised) == add_up
    read = dict(zip(provider.channels, provider.transform, strict=True))
    assert read == {
        **dict.fromkeys(("L00", "L01", "copy"), "log"),
        **dict.fromkeys(("ablation.change", "ablation.share", "gradient"), "identity"),
    }


def test_attention_beside_another_method_adds_up_to_one_over_the_window(llama: Path) -> None:
    provider = provider_of(llama, method="attention+copy")
    cache = MemoryCache(MemorySettings())
    with ScoreSource("transformers", provider, cache, ScoringOptions(quiet=True)) as source:
        reading = reading_of(source, transform="identity", context_words=6)
        (scores,) = source.scores(prefix_rows(PIECES)[-1:])
    own = window_scores(scores, 4, normalised=reading.normalised)
    np.testing.assert_allclose(own[:2].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(own[2], scores[2, -5:])


@pytest.mark.parametrize("method", ["copying", "copy+copy", "copy+", "copy+embedding"])
def test_methods_that_cannot_be_are_an_error(llama: Path, method: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=r"joined by \+|stand beside"):
        provider_of(llama, method=method)


def test_texts_read_together_score_as_each_alone(llama: Path) -> None:
    rows = [row for text in texts(9) for row in prefix_rows(text)]
    together = ask(provider_of(llama, batch_tokens=40), rows)
    for row, expected in zip(rows, together, strict=True):
        (alone,) = ask(provider_of(llama), [row])
        np.testing.assert_allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_texts_that_grow_side_by_side_score_as_each_alone(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    grown = [prefix_rows(text) for text in texts(5)]
    side_by_side = provider_of(folder)
    for place in range(min(map(len, grown))):
        rows = [text[place] for text in grown[: 2 + place]]  # one more each time
        found = ask(side_by_side, rows)
        for row, scores in zip(rows, found, strict=True):
            (alone,) = ask(provider_of(folder), [row])
            np.testing.assert_allclose(scores, alone, atol=1e-5)


def test_marks_that_the_tokenizer_would_join_stay_apart(llama: Path) -> None:
    provider = provider_of(llama)
    joined = ask(provider, prefix_rows(("a", "-", "-", "b")))
    apart = ask(provider_of(llama), prefix_rows(("a", "-")))
    np.testing.assert_allclose(joined[1], apart[1], atol=1e-5)


def test_texts_are_told_apart_by_case_and_spaces(llama: Path) -> None:
    provider = provider_of(llama)
    (lower,) = ask(provider, prefix_rows(("The", " cat", " cat"))[-1:])
    (upper,) = ask(provider, prefix_rows(("The", " cat", "cat"))[-1:])
    assert np.abs(lower - upper).max() > 1e-3


def test_a_piece_that_the_tokenizer_drops_still_has_its_place(llama: Path) -> None:
    (scores,) = ask(provider_of(llama), prefix_rows(("a", "\x00", " cat"))[-1:])
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)


def test_what_was_kept_before_a_stop_is_not_asked_again(llama: Path) -> None:
    rows = [row for text in texts(6) for row in prefix_rows(text)]
    cache = MemoryCache(MemorySettings())
    limited, provider = ScoringOptions(max_requests=2), provider_of(llama, batch_tokens=8)
    report = ScoreSource("transformers", provider, cache, limited).fill(rows)
    assert report.stopped
    assert 0 < report.scored < report.pairs
    again = ScoreSource("transformers", provider_of(llama, batch_tokens=8), cache).fill(rows)
    assert again.cached == report.scored
    assert again.cached + again.scored == again.pairs


def test_identity_tells_what_can_change_a_score(llama: Path, gpt2: Path) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"channels": "heads"},
        {"channels": "1"},
        {"method": "ablation"},
        {"method": "gradient"},
        {"method": "embedding"},
        {"start_token": "a"},
    ]
    identities = {provider_of(llama, **given).identity().namespace for given in settings}
    identities.add(provider_of(gpt2).identity().namespace)
    assert len(identities) == len(settings) + 1


def test_identity_leaves_out_what_cannot_change_a_score(llama: Path, tmp_path: Path) -> None:
    moved = tmp_path / llama.name
    moved.symlink_to(llama)
    plain = provider_of(llama, channels="0,1.1").identity()
    assert plain == provider_of(moved, channels="0,1.1").identity()
    assert plain == provider_of(llama, channels="00, 1.1", batch_tokens=7).identity()


def test_other_weights_are_another_identity(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = save_model(tmp_path / "other" / llama.name, seed=1)
    assert provider_of(llama).identity() != provider_of(other).identity()


def test_scopes_follow_the_method(llama: Path) -> None:
    assert provider_of(llama).scope is Scope.PREFIX
    assert provider_of(llama).limits.nested_rows
    pairs = provider_of(llama, method="embedding")
    assert pairs.scope is Scope.PAIR
    assert not pairs.limits.nested_rows


def test_a_text_that_is_too_long_is_refused_with_the_limit(llama: Path) -> None:
    rows = prefix_rows([" a"] * 300)[-1:]
    with pytest.raises(ProviderRejected, match="reads 256 at most"):
        ask(provider_of(llama), rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": "2"}, "layers are 0 to 1"),
        ({"channels": "0.2"}, "heads 0 to 1"),
        ({"channels": "all"}, "cannot be read at 'all'"),
        ({"channels": "1,1"}, "named twice"),
        ({"channels": "heads", "method": "ablation"}, "no layers or heads"),
    ],
)
def test_channels_that_are_not_there_are_an_error(
    llama: Path, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        provider_of(llama, **settings)


def test_an_unknown_start_token_is_an_error_that_names_some(llama: Path) -> None:
    with pytest.raises(ConfigError, match=r"no token '<nothing>'.*<s>"):
        ask(provider_of(llama, start_token="<nothing>"), prefix_rows(("a",)))


def test_what_the_model_foretells_of_a_text_is_the_librarys_own_loss(llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    kind: Any = AutoModelForCausalLM
    text = "The cat saw a dog -- the dog ran"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = torch.tensor([[tokenizer.bos_token_id, *ids]])
    with torch.inference_mode():
        mean = kind.from_pretrained(llama)(whole, labels=whole).loss.item()
    found = asyncio.run(provider_of(llama).forecast(text))
    assert found.tokens == len(ids)
    assert found.nats == pytest.approx(mean * len(ids), rel=1e-5)
    assert found.parameters > 1000


def test_a_long_text_is_foretold_in_overlapping_windows(llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    kind: Any = AutoModelForCausalLM
    model, text = kind.from_pretrained(llama), "abcdefgh" * 48
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == 384
    nats = 0.0
    for first, new, end in ((0, 0, 255), (127, 255, 382), (254, 382, 384)):
        read = torch.tensor([[tokenizer.bos_token_id, *ids[first:end]]])
        with torch.inference_mode():
            logits = torch.log_softmax(model(read).logits[0], -1)
        nats -= sum(float(logits[place - first, ids[place]]) for place in range(new, end))
    found = asyncio.run(provider_of(llama).forecast(text))
    assert found.tokens == 384
    assert found.nats == pytest.approx(nats, rel=1e-5)


def test_an_untrained_model_is_another_teacher_the_same_for_each_seed(llama: Path) -> None:
    rows = prefix_rows(PIECES)
    trained, one, again, other = (provider_of(llama, untrained=seed) for seed in (None, 1, 1, 2))
    assert one.channels == trained.channels
    assert "untrained" not in dict(trained.identity().details)
    assert one.identity() == again.identity()
    assert len({p.identity().namespace for p in (trained, one, other)}) == 3
    assert len({p.forecaster for p in (trained, one, other)}) == 3
    scores = [ask(p, rows)[-1] for p in (trained, one, again, other)]
    np.testing.assert_array_equal(scores[1], scores[2])
    for a, b in ((0, 1), (1, 3)):
        assert np.abs(scores[a] - scores[b]).max() > 1e-3
