"""What a comparison says, from given losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from llmattn.comparing.arms import parse_arms
from llmattn.comparing.config import Course
from llmattn.comparing.references import Reference
from llmattn.comparing.report import legend, markdown, table
from llmattn.comparing.results import ArmResult, Results
from llmattn.comparing.statistics import Estimate
from llmattn.comparing.store import FinishedRun
from llmattn.training.text_size import TextSize

AROUND = (-0.01, 0.0, 0.01)
NO_TABLES: Mapping[str, Any] = {}


def finished(loss: float, *, parameters: int = 1000, falling: bool = False) -> FinishedRun:
    last = loss - 0.2 if falling else loss
    return FinishedRun(
        settings={},
        place={},
        test_loss=loss,
        val_loss=last,
        best_step=20 if falling else 10,
        outcome="finished",
        tokens=100,
        seconds=1.5,
        parameters=parameters,
        curve=((0, None, 9.0), (10, 5.0, loss), (20, 4.0, last)),
    )


def results(losses: dict[str, float], tables: Mapping[str, Any] = NO_TABLES) -> Results:
    """Arms with these mean losses; every seed is as lucky in one arm as in another.

    ``tables``: the arms of a configuration file.
    """
    arms = [
        ArmResult(
            arm,
            course=Course(3e-3, 20),
            tried={Course(1e-3, 20): 5.0, Course(3e-3, 20): 4.0, Course(6e-3, 20): 4.5},
            runs={seed: finished(losses[arm.name] + luck) for seed, luck in enumerate(AROUND)},
        )
        for arm in parse_arms(list(losses), tables)
    ]
    against = tuple(name for name in ("position", "learned+b") if name in losses)
    return Results(tuple(arms), against, {"summary": "A text.", "command": "x", "scores": {}})


def test_external_scores_are_held_against_all_baselines_and_their_controls() -> None:
    found = results(
        {
            "external:one": 4.7,
            "external:one/shuffled": 4.9,
            "external:one/averaged": 4.8,
            "external:two": 4.8,
            "random": 4.9,
            "position": 4.9,
            "learned+b": 5.0,
        }
    )
    about = [s for s in found.sentences() if s.startswith("external:one is")]
    assert about == [
        "external:one is better than position by 0.2000 ± 0.0000 nats a token.",
        "external:one is better than learned+b by 0.3000 ± 0.0000 nats a token.",
        "external:one is better than external:one/shuffled by 0.2000 ± 0.0000 nats a token.",
        "external:one is better than external:one/averaged by 0.1000 ± 0.0000 nats a token.",
        "external:one is better than random by 0.2000 ± 0.0000 nats a token.",
    ]


def test_controls_of_an_arm_of_a_file_are_known_by_what_they_do() -> None:
    tables = {
        "mine": {"provider": "one", "per_layer": True},
        "others": {"like": "mine", "shuffled": True},
        "means": {"like": "mine", "averaged": True},
        "unlike": {"provider": "one", "averaged": True},
    }
    found = results({"mine": 4.7, "others": 4.9, "means": 4.8, "unlike": 4.8}, tables)
    assert found.controls(found.arm("mine")) == ["others", "means"]


def test_an_arm_is_held_against_noise_in_a_model_of_its_shape() -> None:
    tables = {"noise": {"provider": "random", "options": {"seed": 2}}}
    names = ["external", "external/per-layer", "random", "random/per-layer", "noise", "hybrid"]
    found = results(dict.fromkeys(names, 4.8), tables)
    assert found.controls(found.arm("external")) == ["random", "noise"]
    assert found.controls(found.arm("external/per-layer")) == ["random/per-layer"]
    assert found.controls(found.arm("hybrid")) == ["random"]


def test_controls_are_held_against_the_first_baseline_alone() -> None:
    found = results({"external": 4.7, "random": 4.9, "position": 4.9, "learned+b": 5.0})
    about = [s for s in found.sentences() if s.startswith(("random", "learned"))]
    assert about == [
        "random: no measurable gain over position: 0.0000 ± 0.0000 nats a token.",
        "learned+b is worse than position by 0.1000 ± 0.0000 nats a token.",
    ]


def test_best_arm_stands_first_in_the_table() -> None:
    rows = table(results({"position": 4.9, "external": 4.7, "learned+b": 5.0}))
    assert [row[0] for row in rows] == ["arm", "external", "position", "learned+b"]
    assert rows[1][4:8] == ["4.700 ± 0.025", "–", "+0.2000 ± 0.0000 *", "+0.3000 ± 0.0000 *"]


def test_a_rate_at_the_edge_of_the_grid_is_warned_of() -> None:
    found = results({"position": 4.9})
    assert found.warnings() == []
    (arm,) = found.arms
    edge = ArmResult(arm.arm, course=Course(6e-3, 20), tried=arm.tried, runs=arm.runs)
    (warning,) = Results((edge,), (), found.about).warnings()
    assert "position (0.006)" in warning


def test_an_arm_that_was_still_improving_is_warned_of() -> None:
    (arm,) = results({"position": 4.9}).arms
    runs = {seed: finished(5.0, falling=seed > 0) for seed in range(3)}
    late = ArmResult(arm.arm, course=arm.course, tried=arm.tried, runs=runs)
    (warning,) = Results((late,), (), {}).warnings()
    assert "Best at the last step" in warning


def test_models_of_different_size_are_warned_of() -> None:
    small, large = results({"position": 4.9, "uniform": 4.9}).arms
    runs = {seed: finished(4.9, parameters=2000) for seed in range(3)}
    larger = ArmResult(large.arm, course=large.course, tried=large.tried, runs=runs)
    (warning,) = Results((small, larger), (), {}).warnings()
    assert "1,000 to 2,000 parameters" in warning


def test_a_distance_bias_in_each_layer_asks_for_a_baseline_that_has_one() -> None:
    losses = {"external/per-layer": 4.7, "random/per-layer": 4.8, "position": 4.9}
    (warning,) = results(losses).warnings()
    assert "gain of external/per-layer, and none of --against" in warning
    assert "add position/per-layer" in warning
    with_it = results({**losses, "position/per-layer": 4.8})
    assert Results(with_it.arms, ("position", "position/per-layer"), {}).warnings() == []
    assert results({"external/no-b/per-layer": 4.7, "position": 4.9}).warnings() == []


def test_report_is_a_table_of_its_own() -> None:
    found = results({"position": 4.9, "external": 4.7})
    lines = markdown(found).splitlines()
    (start,) = [n for n, line in enumerate(lines) if line.startswith("| arm |")]
    cells = [line.count("|") for line in lines[start : start + 4]]
    assert len(set(cells)) == 1


def with_references(losses: dict[str, float]) -> Results:
    """Arms beside an n-gram model of 4.8 nats a token, and a teacher of 1.2 bits a byte."""
    n_gram = Reference("4-gram", "of four", 4.8, 2.6, 5000, 0.1, same_tokens=True)
    teacher = Reference("big", "the teacher", 3.4, 1.2, 10**8, 5.0, False, seconds_a_token=0.002)
    size = TextSize(tokens=1000, size=4000, unknown=10, unknown_size=50, left_out_bits=400)
    return attrs.evolve(results(losses), references=(n_gram, teacher), size=size)


def test_what_is_no_arm_stands_below_the_arms_with_its_gains() -> None:
    found = with_references({"position": 4.9, "external": 4.7})
    heads, *rows = table(found)
    assert [row[0] for row in rows] == ["external", "position", "(4-gram)", "(big)"]
    of = {row[0]: dict(zip(heads, row, strict=True)) for row in rows}
    assert of["(4-gram)"]["gain over position"] == "+0.100 ± 0.025 *"
    assert of["(4-gram)"]["parameters"] == "5,000"
    assert of["(big)"]["gain over position"] == "–"  # it foretells other tokens
    assert of["(big)"]["bits a byte"] == "1.20"
    assert of["external"]["bits a byte"] == "1.90"  # 4.7 / ln 2 / 4, and 400 + 400 of 4,000 bytes
    assert "2.0 ms a token" in legend(found)


def test_each_arm_but_controls_is_held_against_the_n_gram_model() -> None:
    found = with_references({"position": 4.9, "external": 4.7, "random": 4.9})
    about = [s for s in found.sentences() if "4-gram" in s]
    assert about == [
        "position is worse than 4-gram by 0.100 ± 0.025 nats a token.",
        "external is better than 4-gram by 0.100 ± 0.025 nats a token.",
    ]


def test_a_teacher_that_does_better_is_called_the_better_choice() -> None:
    (told,) = [s for s in with_references({"position": 4.9}).sentences() if s.startswith("big")]
    assert "1.20 bits a byte, position at 1.97" in told
    assert told.endswith("where it can be used itself, it is the better choice.")


def test_warnings_come_before_anything_is_called_better() -> None:
    found = results({"position": 4.9, "external": 4.7})
    late = attrs.evolve(found.arms[1], runs={s: finished(4.7, falling=True) for s in range(3)})
    text = markdown(attrs.evolve(found, arms=(found.arms[0], late)))
    assert text.index("Best at the last step") < text.index("external is better than position")


def test_the_result_file_tells_what_each_arm_took() -> None:
    found = with_references({"position": 4.9, "external": 4.7})
    late = attrs.evolve(
        found.arms[1], seconds=30.0, runs={s: finished(4.7, falling=True) for s in range(3)}
    )
    arms = attrs.evolve(found, arms=(found.arms[0], late)).to_dict()["arms"]
    assert [arm["undertrained"] for arm in arms] == [False, True]
    assert arms[1]["seconds"] == 30.0
    assert arms[1]["steps_of_runs"]["0"] == {"made": 20, "best": 20}
    assert set(arms[1]["validation_loss_by_lr"]) == {"0.001", "0.003", "0.006"}
    assert arms[1]["parameters"] == 1000


def test_a_report_shows_only_the_pictures_that_were_drawn() -> None:
    found = results({"external": 4.0, "position": 4.1})
    assert "![" not in markdown(found)
    assert "![curves](curves.png)" in markdown(found, ["curves.png"])


def test_a_gain_of_nothing_has_no_sign() -> None:
    assert Estimate(-0.0004, 0.01, 5).signed() == "0.000 ± 0.010"
