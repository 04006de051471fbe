"""The model: causality, the formulae, and what the variants share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from llmattn.data.batches import IGNORED
from llmattn.errors import ConfigError
from llmattn.model.attention import KVCache, LLMAttention
from llmattn.model.attn_gpt import AttnGPT, match_parameters
from llmattn.training.config import TrainConfig
from llmattn.training.optimizer import build_optimizer, lr_at, set_lr
from support_engine import VARIANTS, full_table, lively_model, small_config
from torch import Tensor

variants = pytest.mark.parametrize(("attention", "distance_bias"), VARIANTS)
per_layer = pytest.mark.parametrize(
    ("attention", "distance_bias"),
    [("external", False), ("hybrid", False), ("learned", True), ("position", False)],
)
weighted = pytest.mark.parametrize("attention", ["external", "pure", "position", "uniform"])

TEXT = torch.tensor([[1, 5, 3, 7, 3, 9, 2, 11]])


def scores_of(ids: Tensor) -> Tensor:
    return full_table().gather(ids)


def weights_of(model: AttnGPT, ids: Tensor) -> Tensor:
    length = ids.shape[1]
    like = torch.zeros(())
    weights: Tensor = model.attention.weights(scores_of(ids), length, length, like)
    return weights.detach()


@variants
def test_a_later_token_changes_no_earlier_logits(attention: str, distance_bias: bool) -> None:
    model = lively_model(small_config(attention, distance_bias))
    before, _ = model(TEXT, scores_of(TEXT))
    for place in range(1, TEXT.shape[1]):
        changed = TEXT.clone()
        changed[0, place] = 4
        after, _ = model(changed, scores_of(changed))
        assert torch.allclose(after[:, :place], before[:, :place], atol=1e-6)
        assert not torch.allclose(after[:, place], before[:, place], atol=1e-3)


@weighted
def test_a_later_token_changes_no_earlier_row_of_the_weights(attention: str) -> None:
    model = lively_model(small_config(attention))
    before = weights_of(model, TEXT)
    for place in range(1, TEXT.shape[1]):
        changed = TEXT.clone()
        changed[0, place] = 4
        after = weights_of(model, changed)
        assert torch.allclose(after[..., :place, :], before[..., :place, :], atol=1e-6)


@weighted
def test_rows_of_the_weights_sum_to_one_and_see_no_future(attention: str) -> None:
    weights = weights_of(lively_model(small_config(attention)), TEXT)
    assert torch.allclose(weights.sum(-1), torch.ones(()))
    assert (weights.triu(1) == 0).all()


@variants
def test_teacher_forced_loss_is_the_loss_of_its_prefixes(
    attention: str, distance_bias: bool
) -> None:
    model = lively_model(small_config(attention, distance_bias))
    inputs, targets = TEXT[:, :-1], TEXT[:, 1:]
    _, loss = model(inputs, scores_of(inputs), targets)
    assert loss is not None
    losses = []
    for end in range(1, inputs.shape[1] + 1):
        prefix = inputs[:, :end]
        logits, _ = model(prefix, scores_of(prefix))
        losses.append(torch.nn.functional.cross_entropy(logits[:, -1], targets[:, end - 1]))
    assert torch.allclose(loss, torch.stack(losses).mean(), atol=1e-6)


@variants
@pytest.mark.parametrize("texts", [1, 5])
def test_token_by_token_equals_the_full_forward(
    attention: str, distance_bias: bool, texts: int
) -> None:
    model = lively_model(small_config(attention, distance_bias))
    ids = torch.cat([TEXT.roll(n, 1) for n in range(texts)])
    scores = scores_of(ids)
    full, _ = model(ids, scores)
    cache = KVCache(model.config, len(ids))
    for place in range(ids.shape[1]):
        row = scores[:, :, place : place + 1, : place + 1]
        hidden = model.hidden(ids[:, place : place + 1], row, cache)
        assert torch.allclose(model.logits(hidden[:, 0]), full[:, place], atol=1e-5)


@per_layer
def test_layers_of_their_own_attention_decode_as_they_train(
    attention: str, distance_bias: bool
) -> None:
    model = lively_model(small_config(attention, distance_bias, per_layer=True))
    scores = scores_of(TEXT)
    full, _ = model(TEXT, scores)
    cache = KVCache(model.config, 1)
    for place in range(TEXT.shape[1]):
        row = scores[:, :, place : place + 1, : place + 1]
        hidden = model.hidden(TEXT[:, place : place + 1], row, cache)
        assert torch.allclose(model.logits(hidden[:, 0]), full[:, place], atol=1e-5)


@per_layer
def test_layers_of_one_tau_and_bias_are_those_of_shared_attention(
    attention: str, distance_bias: bool
) -> None:
    shared = lively_model(small_config(attention, distance_bias))
    own = lively_model(small_config(attention, distance_bias, per_layer=True))
    state = shared.state_dict()
    own.load_state_dict(
        {
            name: value.expand(2, *value.shape) if name.startswith("attention.") else value
            for name, value in state.items()
        }
    )
    expected, _ = shared(TEXT, scores_of(TEXT))
    found, _ = own(TEXT, scores_of(TEXT))
    assert torch.allclose(found, expected, atol=1e-6)


@per_layer
def test_each_layer_learns_its_own_tau_and_bias(attention: str, distance_bias: bool) -> None:
    model = lively_model(small_config(attention, distance_bias, per_layer=True))
    _, loss = model(TEXT[:, :-1], scores_of(TEXT[:, :-1]), TEXT[:, 1:])
    assert loss is not None
    loss.backward()
    for name, parameter in model.attention.named_parameters():
        assert len(parameter) == 2, name
        assert parameter.grad is not None
        assert (parameter.grad.flatten(1).abs().sum(1) > 0).all(), name


@variants
def test_padding_changes_no_loss(attention: str, distance_bias: bool) -> None:
    model = lively_model(small_config(attention, distance_bias))
    ids, targets = TEXT[:, :-1], TEXT[:, 1:]
    _, loss = model(ids, scores_of(ids), targets)
    padded = torch.nn.functional.pad(ids, (0, 3), value=1)
    no_target = torch.nn.functional.pad(targets, (0, 3), value=IGNORED)
    _, same = model(padded, scores_of(padded), no_target)
    assert loss is not None
    assert same is not None
    assert torch.allclose(loss, same, atol=1e-6)


def test_weights_follow_the_formula_entry_by_entry() -> None:
    model = lively_model(small_config("external"))
    tau, bias = model.attention.tau, model.attention.distance_bias
    scores = scores_of(TEXT).float()[0]
    length = TEXT.shape[1]
    for head in range(2):
        for i in range(length):
            row = torch.stack(
                [(tau[head] * scores[:, i, j]).sum() + bias[head, i - j] for j in range(i + 1)]
            )
            found = weights_of(model, TEXT)[0, head, i, : i + 1]
            assert torch.allclose(found, row.softmax(0), atol=1e-6)


def test_tau_can_sharpen_attention_past_the_bound_of_raw_scores() -> None:
    config = small_config("external", channels=("one",))
    attention = LLMAttention(config)
    scores = torch.tensor([0.0, 1.0]).expand(1, 1, 2, 2)
    with torch.no_grad():
        attention.tau.fill_(8.0)
        weights = attention.weights(scores, 2, 2, torch.zeros(()))
    assert weights[0, 0, 1, 1] / weights[0, 0, 1, 0] > 1000


def test_external_starts_as_the_plain_mean_and_pure_as_the_softmax_of_the_mean_score() -> None:
    like = torch.zeros(())
    scores = scores_of(TEXT)
    external = LLMAttention(small_config("external")).weights(scores, 8, 8, like)
    assert torch.allclose(external[0, 0, 4, :5], torch.full((5,), 0.2))
    pure = LLMAttention(small_config("pure")).weights(scores, 8, 8, like)
    mean = scores.float()[0].mean(0)[4, :5]
    assert torch.allclose(pure[0, 0, 4, :5], mean.softmax(0), atol=1e-6)


@variants
def test_every_parameter_learns(attention: str, distance_bias: bool) -> None:
    model = lively_model(small_config(attention, distance_bias))
    _, loss = model(TEXT[:, :-1], scores_of(TEXT[:, :-1]), TEXT[:, 1:])
    assert loss is not None
    loss.backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert idle == []


def test_values_and_output_are_projected_in_each_layer() -> None:
    model = lively_model(small_config("external"))
    names = [name for name, _ in model.named_parameters()]
    for layer in range(2):
        assert f"blocks.{layer}.project_in.weight" in names
        assert f"blocks.{layer}.project_out.weight" in names


def test_first_loss_is_near_that_of_guessing() -> None:
    torch.manual_seed(0)
    model = AttnGPT(small_config("external", vocab_size=1000, n_embd=64)).eval()
    ids = torch.randint(0, 1000, (16, 16))
    _, loss = model(ids, torch.zeros(16, 2, 16, 16), ids.roll(1, 1))
    assert loss is not None
    assert abs(loss.item() - torch.tensor(1000.0).log().item()) < 1.0


def test_matched_parameters_agree_within_one_per_cent() -> None:
    learned = small_config("learned", n_embd=64, vocab_size=100)
    matched = match_parameters(small_config("external", n_embd=64, vocab_size=100), learned)
    wanted = AttnGPT(learned).parameter_count()
    assert AttnGPT(matched).parameter_count() == pytest.approx(wanted, rel=0.01)


def test_a_matched_width_is_one_that_multiplies_fast() -> None:
    learned = small_config("learned", n_embd=64, vocab_size=1000, block_size=100)
    matched = match_parameters(evolve(learned, attention="external"), learned)
    assert matched.mlp_width % 8 == 0


def test_models_of_one_seed_start_alike_in_all_that_they_share() -> None:
    learned = small_config("learned")
    torch.manual_seed(5)
    reference = AttnGPT(learned).state_dict()
    for other in (
        match_parameters(small_config("external"), learned),
        small_config("position", per_layer=True),
        small_config("learned", distance_bias=True),
    ):
        torch.manual_seed(5)
        for name, value in AttnGPT(other).state_dict().items():
            if name.startswith("attention."):
                continue
            wider, narrower = sorted((reference[name], value), key=lambda each: -each.numel())
            shared = wider[tuple(slice(size) for size in narrower.shape)]
            # The deviation of an MLP's output goes with its width; all else is equal.
            torch.testing.assert_close(
                shared * wider.shape[-1] ** 0.5, narrower * narrower.shape[-1] ** 0.5
            )


def test_models_of_other_seeds_or_made_one_after_another_start_apart() -> None:
    torch.manual_seed(5)
    first, second = AttnGPT(small_config("learned")), AttnGPT(small_config("learned"))
    torch.manual_seed(6)
    third = AttnGPT(small_config("learned"))
    one, two, three = (model.token_embedding.weight for model in (first, second, third))
    assert not torch.allclose(one, two)
    assert not torch.allclose(one, three)


def test_text_longer_than_the_block_is_refused() -> None:
    model = lively_model(small_config("position"))
    with pytest.raises(ConfigError, match="block size, 16"):
        model(torch.ones(1, 17, dtype=torch.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_head": 3}, "--n-embd 8 cannot be shared out"),
        ({"dropout": 1.0}, "--dropout"),
        ({"n_layer": 0}, "--n-layer must be at least 1"),
        ({"attention": "telepathy"}, "--attention must be one of external"),
        ({"channels": ()}, "needs scores"),
        ({"attention": "uniform", "per_layer": True}, "--per-layer"),
        ({"attention": "pure", "per_layer": True}, "--per-layer"),
        ({"attention": "learned", "per_layer": True}, "--per-layer"),
    ],
)
def test_shapes_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evolve(small_config("external"), **change)


def test_tau_and_distance_bias_learn_ten_times_faster_without_decay() -> None:
    model = AttnGPT(small_config("external"))
    optimizer = build_optimizer(model, TrainConfig(lr=0.001))
    set_lr(optimizer, 0.001)
    groups = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    for parameter in (model.attention.tau, model.attention.distance_bias):
        group = groups[id(parameter)]
        assert (group["lr"], group["weight_decay"]) == (0.01, 0.0)
    assert groups[id(model.token_embedding.weight)]["lr"] == 0.001
    assert len(groups) == len(list(model.parameters()))


def test_learning_rate_rises_then_falls_to_its_floor() -> None:
    config = TrainConfig(steps=100, warmup=10, lr=1.0, min_lr_share=0.1)
    rates = [lr_at(step, config) for step in range(101)]
    assert rates.index(max(rates)) == 10
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
