"""A finished comparison read back from its folder. It may be a stranger's: what it says is shown,
and sets nothing; what follows from its numbers is worked out anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from llmattn.comparing.arms import Arm
from llmattn.comparing.config import Course
from llmattn.comparing.references import Reference
from llmattn.comparing.results import ArmResult, Results
from llmattn.comparing.store import FinishedRun, checked_run
from llmattn.errors import LlmattnError, ResultDamaged
from llmattn.model.config import ModelConfig
from llmattn.training.history import Part, Spent
from llmattn.training.text_size import TextSize
from llmattn.untrusted import WRONG_DATA, build, read_json

__all__ = ["About", "about_of", "read_results"]

_NAME = "result.json"


def read_results(folder: Path) -> Results:
    """What :func:`llmattn.comparing.report.write_report` wrote. Raises ResultDamaged."""
    path = folder / _NAME
    try:
        found = _results(read_json(path, finite=False))
        about_of(found)
    except OSError as error:
        raise ResultDamaged(f"{path} cannot be read ({error.strerror or error}).") from None
    except (LlmattnError, *WRONG_DATA) as error:
        told = str(error) if isinstance(error, LlmattnError | ValueError | TypeError) else ""
        raise ResultDamaged(
            f"{path} is not as llmattn compare wrote it ({told or type(error).__name__}): run the "
            "comparison again, which keeps the runs that it has made."
        ) from None
    return found


def _results(data: Any) -> Results:
    arms = tuple(map(_arm, data["arms"]))
    names = [result.name for result in arms]
    against = tuple(data["against"])
    if not arms or len({*names}) < len(names) or not {*against} <= {*names}:
        raise ValueError("its arms do not fit together")
    references = [
        build(Reference, {name: value for name, value in each.items() if name != "gain_over"})
        for each in data["references"]
    ]
    for each in references:
        numbers = each.test_loss, each.bits_per_byte, each.seconds, each.parameters
        if not all(map(math.isfinite, (*numbers, each.seconds_a_token or 0.0))):
            raise ValueError("a number of it is none")
    size = data["test_size"] and build(TextSize, data["test_size"])
    if size is not None and size.size < 1:
        raise ValueError("its test text is empty")
    return Results(arms, against, dict(data["about"]), tuple(references), size or None)


def _arm(data: Any) -> ArmResult:
    said = dict(data["arm"])
    said["providers"] = tuple(said["providers"])
    for name in ("lr", "steps", "model", "score_transform", "context_words"):
        if said[name] is not None and not isinstance(said[name], (str, int, float)):
            raise TypeError(f"its {name} is none")
    arm = build(Arm, said)
    like = ModelConfig(2, channels=("score",))
    attrs.evolve(like, **arm.shape)  # raises for a shape that there is not
    runs = {int(seed): _run(run) for seed, run in data["runs"].items()}
    if not runs:
        raise ValueError(f"the arm {arm.name} has no run")
    tried = {
        _course(each): math.inf if (loss := each["validation_loss"]) is None else _number(loss)
        for each in data["tried"]
    }
    course = _course(data)
    if course not in tried:
        raise ValueError(f"the arm {arm.name} was made at a rate that was not tried")
    return ArmResult(arm, course, tried, runs, _number(data["seconds"]))


def _run(data: Mapping[str, Any]) -> FinishedRun:
    return checked_run({name: value for name, value in data.items() if name != "key"})


def _course(data: Mapping[str, Any]) -> Course:
    return build(Course, {name: data[name] for name in ("lr", "steps")})


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("a number of it is none")
    return float(value)


@frozen
class About:
    """What a comparison says of itself. ``scores``: by arm, the providers with their namespaces,
    and the share of the attention that they have scored. ``settings``: names and values to show.
    """

    summary: str
    command: str
    text: str
    text_sha256: str
    parts: tuple[Part, ...]
    spent: tuple[Spent, ...]
    scores: Mapping[str, tuple[tuple[tuple[str, str], ...], float]]
    settings: Mapping[str, str]
    versions: Mapping[str, str]


def about_of(results: Results) -> About:
    """What stands in ``results.about``. Raises LookupError, TypeError or ValueError."""
    about = results.about
    return build(
        About,
        {
            **{name: about[name] for name in ("summary", "command", "text", "text_sha256")},
            "parts": tuple(build(Part, each) for each in about.get("parts", ())),
            "spent": tuple(build(Spent, each) for each in about.get("spent", ())),
            "scores": {
                name: (
                    tuple((str(i["provider"]), str(i["namespace"])) for i in found["identities"]),
                    _number(found["coverage"]),
                )
                for name, found in about["scores"].items()
            },
            "settings": {
                str(name): str(value)
                for kind in ("shape", "train", "place")
                for name, value in about[kind].items()
            },
            "versions": {str(name): str(value) for name, value in about["versions"].items()},
        },
    )
