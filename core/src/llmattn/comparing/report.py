"""The files that a comparison leaves: result.json for programs, report.md to paste."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from llmattn.comparing.references import Reference
from llmattn.comparing.results import ArmResult, Results
from llmattn.comparing.statistics import TRUSTED, Estimate, estimate
from llmattn.printable import printable
from llmattn.secrets import redact
from llmattn.wording import counted
from llmattn.writing import Kind, check_output, written

__all__ = ["as_json", "check_report", "legend", "markdown", "table", "write_report"]


_TITLE = "# Comparison\n"
_ABOUT = re.compile(rb'\s*\{\s*"about"\s*:\s*\{\s*"summary"\s*:')
_MADE = "\nMade with:\n"
_KINDS = {
    "result.json": Kind(
        "the result of a comparison",
        lambda head, _: _ABOUT.match(head) is not None,
        in_folder=True,
    ),
    "report.md": Kind(
        "the report of a comparison",
        lambda head, tail: head.startswith(_TITLE.encode()) and _MADE.encode() in tail,
        in_folder=True,
    ),
}


def check_report(folder: Path) -> None:
    """Raise ConfigError unless :func:`write_report` can write to ``folder``."""
    for name, kind in _KINDS.items():
        check_output(folder / name, kind, "--out")


def table(results: Results) -> list[list[str]]:
    """The table as text, its headings first; losses in nats a token, best arm first, then what
    stands beside the arms.
    """
    gains = [f"gain over {name}" for name in results.against]
    heads = ["arm", "parameters", "rate", "steps", "test loss", "bits a byte", *gains, "seconds"]
    order = sorted(results.arms, key=lambda r: estimate(list(r.losses.values())).mean)
    beside = (_reference_row(results, reference) for reference in results.references)
    return [heads, *(_row(results, result) for result in order), *beside]


def _reference_row(results: Results, reference: Reference) -> list[str]:
    gains = [
        _marked(results.gain_of(reference, name)) if reference.same_tokens else "–"
        for name in results.against
    ]
    return [
        f"({reference.name})",
        f"{reference.parameters:,}",
        "–",
        "–",
        f"{reference.test_loss:.3f}",
        f"{reference.bits_per_byte:.2f}",
        *gains,
        f"{reference.seconds:.0f}",
    ]


def _row(results: Results, result: ArmResult) -> list[str]:
    loss = estimate(list(result.losses.values()))
    gains = [
        "–" if name == result.name else _marked(results.gain(result.name, name))
        for name in results.against
    ]
    seconds = sum(run.seconds for run in result.runs.values()) / len(result.runs)
    return [
        result.name,
        f"{result.parameters:,}",
        f"{result.lr:g}",
        f"{result.steps:,}",
        str(loss),
        "–" if (bits := results.bits(result)) is None else f"{bits:.2f}",
        *gains,
        f"{seconds:.0f}",
    ]


def _marked(difference: Estimate) -> str:
    """A difference; a star where its interval is clear of zero."""
    return difference.signed() + (" *" if difference.sign else "")


def markdown(results: Results, pictures: Sequence[str] = ()) -> str:
    """The report: table, conclusions, what to beware of, and how to make it again; ``pictures``:
    the names of those that were drawn beside it.
    """
    about = results.about
    rows = table(results)
    lines = ["# Comparison", "", str(about["summary"]), ""]
    lines += [f"| {' | '.join(row)} |" for row in rows[:1]]
    lines += [f"|{'---|' * len(rows[0])}"]
    lines += [f"| {' | '.join(row)} |" for row in rows[1:]]
    lines += ["", legend(results), ""]
    lines += [f"- Beware: {warning}" for warning in results.warnings()]
    lines += [f"- {sentence}" for sentence in results.sentences()]
    for name in pictures:
        lines += ["", f"![{Path(name).stem}]({name})"]
    lines += ["", "| scores | namespace | scored |", "|---|---|---|"]
    for name, found in dict(about["scores"]).items():
        spaces = ", ".join(f"{i['provider']} `{i['namespace']}`" for i in found["identities"])
        lines.append(f"| {name} | {spaces} | {found['coverage']:.1%} |")
    lines += ["", "Made with:", "", "```", str(about["command"]), "```", ""]
    return "\n".join(lines)


def as_json(results: Results) -> str:
    """All of a comparison for programs, without secrets."""
    return redact(json.dumps(results.to_dict(), indent=1))


def legend(results: Results) -> str:
    """How to read the table, in one paragraph."""
    seeds = counted(results.seeds, "seed")
    text = (
        f"Test loss in nats a token, mean over {seeds}, at the weights with the best validation "
        "loss. Gain: how much lower the test loss is, paired by seed; above 0 is better"
    )
    if results.seeds >= TRUSTED:
        text += "; ± is half a 95% interval, * marks those clear of zero"
    if unknown := dict(results.about.get("unknown_share", {})).get("test"):
        text += f". {unknown:.1%} of the test tokens are <unk>"
    text += "."
    if results.references:
        names = "; ".join(f"({each.name}): {_beside(each)}" for each in results.references)
        text += f" In brackets what is no arm: {names}."
    return text


def _beside(reference: Reference) -> str:
    text = reference.about
    if reference.seconds_a_token is not None:
        text += f", {1000 * reference.seconds_a_token:.1f} ms a token of the text"
    return text


def write_report(results: Results, folder: Path, pictures: Sequence[str] = ()) -> None:
    """Write result.json and report.md, which shows ``pictures``, into ``folder``. Raises
    ConfigError if they cannot be written.
    """
    texts = {
        "result.json": f"{as_json(results)}\n",
        "report.md": redact(printable(markdown(results, pictures))),
    }
    for name, text in texts.items():
        with written(folder / name, _KINDS[name], "--out") as file:
            file.write(text.encode())
