"""What a comparison says, from given losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmattn.comparing.arms import parse_arms
from llmattn.comparing.config import Course
from llmattn.comparing.report import markdown, table
from llmattn.comparing.results import ArmResult, Results
from llmattn.comparing.statistics import Estimate
from llmattn.comparing.store import FinishedRun

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
    assert rows[1][4:7] == ["4.700 ± 0.025", "+0.2000 ± 0.0000 *", "+0.3000 ± 0.0000 *"]


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
    assert "still getting better" in warning


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


def test_a_report_shows_only_the_pictures_that_were_drawn() -> None:
    found = results({"external": 4.0, "position": 4.1})
    assert "![" not in markdown(found)
    assert "![curves](curves.png)" in markdown(found, ["curves.png"])


def test_a_gain_of_nothing_has_no_sign() -> None:
    assert Estimate(-0.0004, 0.01, 5).signed() == "0.000 ± 0.010"
