"""``llmattn sample``: continue a prompt with a checkpoint, once or line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import platformdirs
import typer

from llmattn import signals
from llmattn.cli.build import AlsoArgument, Uses, command
from llmattn.cli.common import ASKING_AGAIN, Ask
from llmattn.cli.output import echo, echo_sampled
from llmattn.cli.utf8 import check_utf8
from llmattn.errors import CorpusError
from llmattn.notices import notify
from llmattn.options import RUN
from llmattn.reading.files import decode
from llmattn.sampling.options import SampleOptions
from llmattn.scoring.options import ScoreChoice
from llmattn.training.config import Machine
from llmattn.training.recognise import check_checkpoint

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from llmattn.sampling.sampler import Sampler

__all__ = ["sample"]

_FOR_ONE_THREAD = 64_000_000
"""Samples times parameters up to which one thread samples faster than two (measured)."""
_LONGEST_LINE = 1 << 20
"""Bytes of a prompt from stdin."""
_ENDS = ("quit", "exit")
"""What a person may type to end, where no line of a text is likely to be that alone."""
_RULE = "---"
"""Between samples of several lines; not an empty line, which a model can make."""


@command(panels={RUN: None})
def sample(
    checkpoint: Annotated[Path, typer.Option(help="What training wrote.")] = Path("checkpoint.pt"),
    prompt: Annotated[
        str | None,
        typer.Option(help='Start of the line; "" for none. Without it, lines are asked for.'),
        AlsoArgument("PROMPT"),
    ] = None,
    *,
    options: SampleOptions,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed draws the same.")] = None,
    block_size: Annotated[
        int | None, typer.Option(help="Look fewer tokens back than the model can.")
    ] = None,
    machine: Machine,
    ask: Ask = False,
    scores: Annotated[ScoreChoice, Uses(only=ASKING_AGAIN)],
) -> None:
    """Continue lines of text with a trained model.

    With --prompt, prints the samples and ends; else asks for one start of a line after
    another. A rule stands between samples of several lines. Works offline: a pair of words that
    was never scored counts as the mean of its row. Scores in context need the options of the
    provider with which the model was trained; `train` prints the command.
    """
    if prompt is not None:
        check_utf8(prompt, "--prompt")
    check_checkpoint(checkpoint)
    machine.use_threads()

    import torch

    from llmattn.devices import choose_device
    from llmattn.feeds.trained import is_local
    from llmattn.sampling.sampler import Sampler
    from llmattn.training.checkpoint import load_checkpoint

    where = choose_device(machine.device)
    loaded = load_checkpoint(checkpoint, device=where)
    options.check_training(loaded.train_config)
    with Sampler(
        loaded, device=where, block_size=block_size, seed=seed, ask=ask, choice=scores
    ) as sampler:
        numbers = sampler.model.parameter_count() * options.num
        if machine.threads is None and not sampler.asks and numbers < _FOR_ONE_THREAD:
            # Waking the others takes longer than what they would do for a small model.
            torch.set_num_threads(1)
        told = _Notices(sampler, [s.identity.provider for s in loaded.scored if not is_local(s)])
        prompts = [prompt] if prompt is not None else _prompts()
        for place, text in enumerate(prompts):
            told.unknown_words(text)
            if place and options.lines > 1 and not _is_typed():
                echo(_RULE)
            try:
                _show(sampler, text, options)
            except KeyboardInterrupt:
                if prompt is not None or not signals.by_key():
                    raise
                signals.forget()
                echo()
            told.unscored()


def _show(sampler: Sampler, prompt: str, options: SampleOptions) -> None:
    """Print the samples of one prompt; a single one as its words come."""
    if options.num > 1:
        between = f"\n{_RULE}\n" if options.lines > 1 else "\n"
        echo_sampled(between.join(sampler.sample(prompt, options)), end="\n")
        return
    for piece in sampler.stream(prompt, options):
        echo_sampled(piece)
    echo()


def _is_typed() -> bool:
    """Whether a person is asked for the prompts."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _prompts() -> Iterator[str]:
    """The lines that a person types, with history and editing; else those of stdin."""
    if not _is_typed():
        yield from _piped()
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    notify("Type the start of a line and press Enter; Ctrl-D, Ctrl-C or quit ends.")
    history: History = InMemoryHistory()
    with suppress(OSError):
        folder = platformdirs.user_state_path("llmattn", appauthor=False, ensure_exists=True)
        history = FileHistory(str(folder / "sample_history"))
    session: PromptSession[str] = PromptSession(history=history)
    with suppress(EOFError):
        while True:
            line = _typed(session)
            if line is not None and line.strip() in _ENDS:
                return
            if line is not None:
                yield line


def _typed(session: PromptSession[str]) -> str | None:
    """One line; None after Ctrl-C, which takes back what was typed. Raises EOFError at the end,
    which Ctrl-C is where nothing was typed.
    """
    try:
        return session.prompt("> ")
    except KeyboardInterrupt:
        if not signals.by_key():
            raise
        signals.forget()
        if not session.default_buffer.text:
            raise EOFError from None
        return None


def _piped() -> Iterator[str]:
    """The lines of stdin, each as soon as it is there. Raises CorpusError for what is no text."""
    raw = getattr(sys.stdin, "buffer", sys.stdin)  # what stands in for stdin may have text alone
    number = 0
    while line := raw.readline(_LONGEST_LINE + 1):
        line = line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")
        number += 1
        name = f"Line {number} of stdin"
        text = decode(line, name)
        if len(line) > _LONGEST_LINE:
            raise CorpusError(
                f"{name} has more than {_LONGEST_LINE:,} bytes: give prompts of one line each."
            )
        yield from text.removesuffix("\n").split("\n")


class _Notices:
    """What a user should know about a prompt and its scores, each thing once."""

    def __init__(self, sampler: Sampler, paid: list[str]) -> None:
        self._sampler = sampler
        self._paid = paid
        self._told = False

    def unknown_words(self, prompt: str) -> None:
        """Name the words that the model does not know."""
        words = self._sampler.unknown_words(prompt)
        if words:
            notify(f"Not in the vocabulary, read as <unk>: {', '.join(words)}")

    def unscored(self) -> None:
        """Tell the share of word pairs that no provider has scored."""
        scores = self._sampler.scores
        filled, read = getattr(scores, "filled", 0), getattr(scores, "read", 0)
        if not filled or self._told:
            return
        self._told = True
        how = f" --ask has {' and '.join(self._paid)} score them." if self._paid else ""
        notify(
            f"{filled / read:.1%} of the word pairs read were never scored; each counts as the "
            f"mean of its row.{how}"
        )
