"""How the arms of a comparison are written."""

from __future__ import annotations

from typing import Any

import pytest
from llmattn.comparing.arms import ARMS, Arm, default_arms, parse_arms
from llmattn.comparing.choose_arms import choose_arms
from llmattn.comparing.score_sets import score_sets
from llmattn.errors import ConfigError
from llmattn.plugins import load_plugins
from llmattn.scoring.find_provider import assign_options
from llmattn.scoring.options import ScoreChoice


def arm(name: str, tables: dict[str, Any] | None = None) -> Arm:
    return parse_arms([name], tables or {})[0]


def test_every_kind_of_attention_is_an_arm() -> None:
    assert [found.name for found in parse_arms(list(ARMS), {})] == list(ARMS)


def test_learned_with_a_distance_bias_differs_from_learned_by_that_alone() -> None:
    assert arm("learned").shape == {"attention": "learned"}
    assert arm("learned+b").shape == {"attention": "learned", "distance_bias": True}


def test_random_is_external_with_the_provider_random() -> None:
    assert arm("random").providers == arm("external:random").providers == ("random",)
    assert arm("random").shape == arm("external").shape


def test_an_arm_names_its_providers() -> None:
    assert arm("external:openai+cooccurrence").providers == ("openai", "cooccurrence")
    assert arm("hybrid:cerebras").shape == {"attention": "hybrid"}


def test_endings_change_one_thing_each() -> None:
    assert arm("external:transformers/shuffled").shuffled
    assert arm("external:transformers/averaged").averaged
    assert arm("external/no-b").shape == {"no_distance": True}
    assert arm("position/per-layer").shape == {"attention": "position", "per_layer": True}
    both = arm("external/per-layer/shuffled")
    assert both.shuffled
    assert both.shape == {"per_layer": True}


def test_two_arms_of_a_file_may_use_one_provider_with_different_options() -> None:
    tables = {
        "layers": {"provider": "transformers", "options": {"channels": "layers"}},
        "heads": {"like": "layers", "options": {"channels": "heads"}, "per-layer": True},
    }
    layers, heads = parse_arms(["layers", "heads"], tables)
    assert layers.providers == heads.providers == ("transformers",)
    assert (layers.options["channels"], heads.options["channels"]) == ("layers", "heads")
    assert heads.shape == {"per_layer": True}


def test_options_of_several_providers_stand_in_tables_of_their_own() -> None:
    options = {"cooccurrence": {"window": 5}, "random": {"seed": 2}}
    found = arm("two", {"two": {"provider": ["cooccurrence", "random"], "options": options}})
    assert found.options == {"cooccurrence.window": "5", "random.seed": "2"}


def test_endings_also_follow_the_name_of_an_arm_of_a_file() -> None:
    found = arm("mine/shuffled", {"mine": {"provider": "transformers"}})
    assert found == Arm("mine/shuffled", providers=("transformers",), shuffled=True)


def test_a_file_makes_the_controls_of_an_arm() -> None:
    tables = {
        "mine": {"provider": "transformers"},
        "other": {"like": "mine", "shuffled": True},
        "means": {"like": "mine", "averaged": True},
    }
    _, other, means = parse_arms(list(tables), tables)
    assert (other.shuffled, other.averaged) == (True, False)
    assert (means.shuffled, means.averaged) == (False, True)


def test_a_table_named_as_an_arm_is_that_arm() -> None:
    assert arm("random", {"random": {}}).providers == ("random",)
    assert arm("learned+b", {"learned+b": {"lr": 0.01}}).shape == arm("learned+b").shape


def test_arms_of_a_file_stand_beside_position_and_learned_by_default() -> None:
    assert default_arms({"mine": {}, "position": {}}) == ("position", "learned+b", "mine")


def test_scores_stand_beside_the_controls_that_fit_them_by_default() -> None:
    others = ("random", "position", "learned+b")
    assert default_arms({}) == ("external", *others, "learned", "uniform")
    in_context = default_arms({}, in_context=True)
    assert in_context == ("external", "external/shuffled", "external/averaged", *others)


def chosen(names: str, tables: dict[str, Any] | None = None, **scores: Any) -> dict[str, Arm]:
    """The arms of a comparison with these scores, by name."""
    arms = choose_arms(names.split(",") if names else (), tables or {}, ScoreChoice(**scores))
    return {found.name: found for found in arms}


def test_default_arms_follow_the_scope_of_the_scores() -> None:
    pairs = chosen("", providers=("cooccurrence",))
    assert tuple(pairs) == default_arms({})
    in_context = chosen("", providers=("random",), options={"scope": "prefix"})
    assert tuple(in_context) == default_arms({}, in_context=True)
    mixed = chosen("", providers=("cooccurrence", "random"), options={"random.scope": "prefix"})
    assert tuple(mixed) == default_arms({}, in_context=True)


CHAT = {
    "custom.base_url": "http://127.0.0.1:9/v1",
    "custom.model": "m",
    "custom.criteria": "syntax,meaning",
}
"""A chat model of two channels that nobody will ask."""


@pytest.mark.parametrize("scope", ["pair", "prefix"])
@pytest.mark.parametrize("names", ["", "external,random", "position,random,external/no-b"])
def test_random_has_as_many_channels_of_the_same_scope_as_what_it_is_the_control_of(
    names: str, scope: str
) -> None:
    options = {**CHAT, "custom.scope": scope}
    found = chosen(names, providers=("custom",), options=options)
    assert found["random"].options == {"random.scope": scope, "random.channels": "2"}
    found = chosen(names, providers=("custom", "cooccurrence"), options=options)
    assert found["random"].options == {"random.scope": scope, "random.channels": "3"}


def test_random_follows_the_first_arm_that_reads_other_scores() -> None:
    tables = {"two": {"provider": "custom"}}
    found = chosen("random,two,external:cooccurrence", tables, options=CHAT)
    assert found["random"].options["random.channels"] == "2"


def test_random_follows_an_arm_that_names_the_provider_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLM_PROVIDER", "custom")
    found = chosen("external:custom,random,external", options={**CHAT, "scope": "prefix"})
    assert found["random"].options["random.scope"] == "prefix"


def test_what_is_said_of_random_is_left_alone() -> None:
    stated = chosen(
        "external,random", providers=("cooccurrence",), options={"random.channels": "7"}
    )
    assert "random.channels" not in stated["random"].options  # the comparison's option counts
    stated = chosen(
        "random,external:cooccurrence", providers=("random",), options={"channels": "7"}
    )
    assert "random.channels" not in stated["random"].options
    for name in ("random.channels", "channels"):
        tables = {"random": {"options": {name: 3}}}
        own = chosen("external,random", tables, providers=("cooccurrence",))
        assert own["random"].options == {"random.scope": "pair", name: "3"}


@pytest.mark.parametrize("said", ["window", "cooccurrence.window"])
@pytest.mark.parametrize("own", ["window", "cooccurrence.window"])
def test_an_arms_own_option_wins_over_the_comparisons(said: str, own: str) -> None:
    (mine,) = parse_arms(["mine"], {"mine": {"like": "external", "options": {own: 5}}})
    scores = ScoreChoice(providers=("cooccurrence",), options={said: "3"})
    found = score_sets([mine], scores)["mine"].choice.settings
    provider = load_plugins().provider("cooccurrence")
    assert assign_options(found, [provider]) == {"cooccurrence.window": "5"}


def test_random_alone_stays_what_it_is() -> None:
    assert chosen("random,position")["random"] == arm("random")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("magic", "There is no arm 'magic': arms are external, hybrid"),
        ("external/quickly", "unknown /quickly"),
        ("position:openai", "only external, hybrid or pure takes"),
        ("random:openai", "only external, hybrid or pure takes"),
        ("external:", "only external, hybrid or pure takes"),
        ("learned/no-b", "has no meaning there"),
        ("uniform/shuffled", "has no meaning there"),
        ("position/averaged", "has no meaning there"),
        ("external/shuffled/averaged", "both shuffled and averaged"),
        ("uniform/per-layer", "has no meaning there"),
    ],
)
def test_a_name_that_means_nothing_gets_one_clear_error(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("+", r"\+")):
        arm(name)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"n_heads": 8}, "'n_heads' is no setting of an arm"),
        ({"block_size": 8}, "'block_size' is no setting of an arm"),
        ({"attention": "position", "provider": "openai"}, "reads none"),
        ({"attention": "magic"}, "must be one of"),
        ({"like": "mine"}, "leads back to itself"),
        ({"like": "magic"}, "There is no arm 'magic'"),
        ({"options": "channels=heads"}, "write options as a table"),
        (3, "must be a table"),
    ],
)
def test_a_table_that_is_no_arm_gets_one_clear_error(table: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arm("mine", {"mine": table})


def test_an_arm_is_not_compared_with_itself() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        parse_arms(["position", "uniform", "position"], {})
