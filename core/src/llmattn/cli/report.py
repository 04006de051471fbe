"""``llmattn report``: a training run or a comparison as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmattn.cli.build import Uses, Written, command
from llmattn.cli.utf8 import check_utf8
from llmattn.errors import ConfigError
from llmattn.notices import notify
from llmattn.reading.files import check_there
from llmattn.scoring.options import SETTINGS, ScoreChoice
from llmattn.training.recognise import check_checkpoint
from llmattn.view.page import check_page, is_page, save_page

__all__ = ["report"]


@command()
def report(
    made: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|COMPARISON",
            help="The checkpoint that train wrote, or the folder of compare.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page, FILE.html. Default: RUN with the ending .html, or report.html in "
            "COMPARISON."
        ),
        Written(),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            "--log-file",
            help="The log that train --log wrote, where the checkpoint tells fewer evaluations.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Show attention in this sentence; may be given several times. Default: lines of "
            "the validation text. Local providers score it for models that read in context."
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="The text that was trained on. Default: the one that the checkpoint names, in or "
            "below the working folder or beside it."
        ),
    ] = None,
    *,
    scores: Annotated[ScoreChoice, Uses(only=("model", *SETTINGS, "option", "cache", "cache_dir"))],
) -> None:
    """Write a training run or a comparison into one page that needs no network.

    It tells settings, text, cost, coverage, curves, samples, attention, the table with its verdict
    and what to beware of, and the command that makes it again. Nobody is asked for a score, but for
    local providers with --text.
    """
    folder = made if (made / "result.json").is_file() else None
    if folder is None:
        if made.is_dir() and (made / "runs").is_dir():
            raise ConfigError(
                f"{made} holds no result.json: the comparison is not finished. The same command "
                "goes on with it."
            )
        check_checkpoint(made)
    elif log is not None:
        raise ConfigError("--log is of a single run; a comparison keeps the curves of its own.")
    for each in text or ():
        check_utf8(each, "--text")
    if corpus is not None:
        check_there(corpus)
    if log is not None:
        check_there(log)
    out = out or (made / "report.html" if made.is_dir() else made.with_suffix(".html"))
    if not is_page(out):
        raise ConfigError(f"--out {out}: the name of a page ends in .html.")
    inside = made.is_dir() and out.parent == made
    check_page(out, in_folder=inside)

    texts = tuple(text or ())
    if folder is not None:
        from llmattn.reports.comparison import comparison_page

        page = comparison_page(folder, scores, corpus_path=corpus, texts=texts)
    else:
        from llmattn.reports.run import run_page
        from llmattn.training.log import read_log

        reports = read_log(log) if log is not None else ()
        page = run_page(made, scores, corpus_path=corpus, texts=texts, log=reports)
    save_page(page, out, in_folder=inside)
    notify(f"Wrote {out}.")
