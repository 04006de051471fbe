"""The page of a comparison, from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmattn.comparing.read import About, about_of, read_results
from llmattn.comparing.report import legend
from llmattn.comparing.report import table as result_table
from llmattn.comparing.results import ArmResult, Results
from llmattn.comparing.statistics import estimate
from llmattn.errors import CheckpointError
from llmattn.notices import notify
from llmattn.reports.attention import Sentences, attention, sentences_of
from llmattn.reports.charts import Interval, Series, interval_chart, line_chart
from llmattn.reports.parts import bullets, code, facts, folded, note, page, section, table
from llmattn.reports.run import NO_TEXT, corpus_of, cost, data, sample_table
from llmattn.scoring.options import ScoreChoice
from llmattn.training.checkpoint import Checkpoint, load_checkpoint
from llmattn.wording import counted

__all__ = ["comparison_page"]

_MODELS = 6
"""Arms whose attention is shown."""


def comparison_page(
    folder: Path,
    choice: ScoreChoice = ScoreChoice(),
    *,
    corpus_path: Path | None = None,
    texts: Sequence[str] = (),
) -> str:
    """The page of the comparison in ``folder``; see ``run_page`` for the rest. Raises
    ResultDamaged; for a text that is named, CorpusError.
    """
    results = read_results(folder)
    about = about_of(results)
    models = _models(folder, results)
    sections = [
        section(
            "What follows",
            bullets(results.warnings(), beware=True),
            bullets(results.sentences()),
        ),
        section(
            "The table",
            table(_with_marks(results), f"Test losses over {counted(results.seeds, 'seed')}"),
            note(legend(results)),
        ),
        section("Gains", *_gains(results)),
        section("Validation loss by step", _curves(results.arms)),
        section("Where they look", _attention(models, corpus_path, texts, choice)),
        section("What they wrote on the way", _samples(models)),
        section("Text", note(about.summary), data(about.text, about.text_sha256, about.parts)),
        section("Scores", _scores(about), cost(about.spent)),
        section("What each arm tried", _tried(results)),
        section(
            "Settings",
            facts(about.settings.items()),
            folded("Versions", facts(about.versions.items())),
        ),
        section(
            "The command",
            code(about.command),
            note("In the same folder it makes only the runs that are missing."),
        ),
    ]
    return page(f"Comparison in {folder.resolve().name}", about.summary, sections)


def _with_marks(results: Results) -> list[list[str]]:
    """The table; an arm that was best at its last step says so."""
    late = {each.name for each in results.arms if each.undertrained}
    heads, *rows = result_table(results)
    named = ((f"{name} (undertrained)" if name in late else name, *row) for name, *row in rows)
    return [heads, *map(list, named)]


def _gains(results: Results) -> list[str]:
    found = []
    for baseline in results.against:
        base = results.arm(baseline).losses
        intervals = []
        for each in results.arms:
            if each.name == baseline:
                continue
            gain = results.gain(each.name, baseline)
            single = [base[seed] - loss for seed, loss in each.losses.items() if seed in base]
            intervals.append(
                Interval(each.name, gain.mean, gain.half if gain.trusted else None, single)
            )
        intervals.sort(key=lambda each: -each.mean)
        found.append(
            interval_chart(intervals, f"Gain over {baseline}", "nats a token: ← worse, better →")
        )
    return found


def _curves(arms: Sequence[ArmResult]) -> str:
    series = [_curve(each) for each in arms]
    series = [each for each in series if each.points]
    steps = sorted({int(at) for each in series for at, _ in each.points})
    apart = max(1, -(-len(steps) // 60))
    losses = [dict(each.points) for each in series]
    rows = [["step", *(each.name for each in series)]]
    rows += [
        [f"{step:,}", *(f"{found[step]:.4f}" if step in found else "–" for found in losses)]
        for step in steps[::apart]
    ]
    chart = line_chart(
        series, "Mean over seeds", "step", "nats a token; band from lowest to highest seed"
    )
    return chart + folded("As a table", table(rows, "Validation loss, mean over seeds"))


def _curve(result: ArmResult) -> Series:
    """As far as all seeds went: runs stop when they get no better."""
    curves = [{step: loss for step, _, loss in run.curve} for run in result.runs.values()]
    shared = sorted(set.intersection(*(set(curve) for curve in curves)) - {0})
    found = [(step, [curve[step] for curve in curves]) for step in shared]
    points = [(float(step), sum(losses) / len(losses)) for step, losses in found]
    band = [(float(step), min(losses), max(losses)) for step, losses in found]
    return Series(result.name, points, band if len(curves) > 1 else ())


def _models(folder: Path, results: Results) -> list[tuple[str, Path, Checkpoint]]:
    """The models of each arm's first seed, of arms that are no controls, best first, as far as
    they were kept and are whole.
    """
    own = [each for each in results.arms if not each.arm.is_control]
    own.sort(key=lambda each: estimate(list(each.losses.values())).mean)
    found: list[tuple[str, Path, Checkpoint]] = []
    for each in own:
        seed = min(each.runs)
        path = folder / "checkpoints" / f"{each.runs[seed].key}.pt"
        if len(found) == _MODELS or not path.is_file():
            continue
        try:
            found.append((f"{each.name}, seed {seed}", path, load_checkpoint(path)))
        except CheckpointError as error:
            notify(f"{error} The page goes without it.")
    return found


def _attention(
    models: Sequence[tuple[str, Path, Checkpoint]],
    corpus_path: Path | None,
    texts: Sequence[str],
    choice: ScoreChoice,
) -> str:
    if not models:
        return note("No models were kept: llmattn compare --keep-checkpoints keeps them.")
    sentences = Sentences(tuple(texts), stated=True)
    if not texts:
        _, path, first = models[0]
        # A text cut to its first words lies in the folder itself.
        corpus = corpus_of(path.parent.parent / path.name, first, corpus_path)
        if corpus is None:
            return note(NO_TEXT)
        sentences = sentences_of(corpus, most=1)
    return attention([(name, checkpoint) for name, _, checkpoint in models], sentences, choice)


def _samples(models: Sequence[tuple[str, Path, Checkpoint]]) -> str:
    return "".join(
        folded(name, held)
        for name, _, checkpoint in models
        if (held := sample_table(checkpoint.history.samples))
    )


def _scores(about: About) -> str:
    rows = [["arm", "provider", "namespace", "scored"]]
    for name, (identities, coverage) in about.scores.items():
        providers = ", ".join(provider for provider, _ in identities)
        spaces = ", ".join(space for _, space in identities)
        rows.append([name, providers, spaces, f"{coverage:.1%}"])
    return table(rows, "Where the scores came from", text_columns=3) or note("No arm reads scores.")


def _tried(results: Results) -> str:
    rows = [
        ["arm", "rate", "steps", "validation loss", "chosen", "best at steps", "seconds in all"]
    ]
    for each in results.arms:
        best = ", ".join(f"{run.best_step:,}" for _, run in sorted(each.runs.items()))
        for course, loss in each.tried.items():
            chosen = course == each.course
            rows.append(
                [
                    each.name,
                    f"{course.lr:g}",
                    f"{course.steps:,}",
                    f"{loss:.4f}" if loss < float("inf") else "diverged",
                    "yes" if chosen else "",
                    best if chosen else "",
                    f"{each.seconds:,.0f}" if chosen else "",
                ]
            )
    return table(rows, "Rates and steps that were tried, with one seed")
