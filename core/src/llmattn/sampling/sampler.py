"""A checkpoint ready to continue lines of text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType

import numpy as np
import torch

from llmattn.errors import CheckpointError
from llmattn.feeds.growing import (
    JoinedRows,
    NoRows,
    TableRows,
    TextRows,
    open_askers,
    open_text_rows,
)
from llmattn.reading.plain import plain_line
from llmattn.sampling.generate import Decoder, generate
from llmattn.sampling.lines import GrowingLines
from llmattn.sampling.options import SampleOptions
from llmattn.scoring.options import ScoreChoice
from llmattn.training.checkpoint import Checkpoint, load_checkpoint

__all__ = ["Sampler"]


class Sampler:
    """Continues prompts with the best model of a checkpoint or of the file of one. A context
    manager.

    ``ask``: let the checkpoint's provider score what it has not scored yet; ``choice`` holds
    what its settings need besides. ``block_size``: a smaller window than the model's.
    Raises CheckpointError for a larger one, or if no provider gives the model's scores.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | os.PathLike[str],
        *,
        device: torch.device | str = "cpu",
        block_size: int | None = None,
        seed: int | None = None,
        ask: bool = False,
        choice: ScoreChoice | None = None,
    ) -> None:
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint, device=device)
        checkpoint.check_scores()
        most = checkpoint.model_config.block_size
        if block_size is not None and not 1 <= block_size <= most:
            raise CheckpointError(
                f"--block-size {block_size} does not fit the checkpoint, whose model looks at "
                f"most {most} tokens back: choose 1 to {most}, or train with a larger one."
            )
        self.tokenizer = checkpoint.tokenizer
        self.model = checkpoint.model(device)
        self._trained = checkpoint.train_config
        self._block_size = block_size
        self._seed = torch.seed() if seed is None else seed
        self._randoms: list[torch.Generator] = []
        choice = choice or ScoreChoice()
        self._askers = open_askers(checkpoint, choice, ask=ask)
        self._texts = open_text_rows(checkpoint, choice, ask=ask)
        parts: list[TableRows | TextRows] = [*self._texts]
        if checkpoint.table is not None:
            parts.insert(0, TableRows(checkpoint.table, self.tokenizer, self._askers))
        self.scores: TableRows | TextRows | JoinedRows | NoRows = NoRows()
        if parts:
            self.scores = parts[0] if len(parts) == 1 else JoinedRows(tuple(parts))

    @property
    def asks(self) -> bool:
        """Whether a provider may work while it samples."""
        return bool(self._askers or self._texts)

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of ``prompt`` that the model reads as ``<unk>``, each once."""
        return self.tokenizer.unknown_words(_plain(prompt))

    def tokens(self, prompt: str, options: SampleOptions = SampleOptions()) -> Iterator[list[int]]:
        """The next token of each of ``options.num`` samples; see ``generate``.

        Providers that score words in their context are shown ``prompt`` as it is written.
        Raises CheckpointError for more lines than the model can go on with, CorpusError for a
        prompt with too long a word.
        """
        options.check_training(self._trained)
        prompt = _plain(prompt)
        for texts in self._texts:
            texts.begin(prompt)
        while len(self._randoms) < options.num:
            # Not seed + 1, seed + 2: neighbouring seeds would share all samples but one.
            mixed = np.random.SeedSequence((self._seed, len(self._randoms)))
            seed = int(mixed.generate_state(1, np.uint64)[0] >> 1)
            self._randoms.append(torch.Generator().manual_seed(seed))
        return generate(
            Decoder(self.model, self.scores, block_size=self._block_size),
            self.tokenizer.encode(prompt),
            options,
            self._randoms[: options.num],
            unk_id=self.tokenizer.unk_id,
            eol_id=self.tokenizer.eol_id,
        )

    def stream(self, prompt: str, options: SampleOptions = SampleOptions()) -> Iterator[str]:
        """One sample, prompt included, in pieces of text as they come."""
        steps = self.tokens(prompt, options)
        lines = GrowingLines(self.tokenizer, _plain(prompt), options.lines)
        yield lines.text()
        for (token,) in steps:
            yield lines.add(token)
        yield lines.rest()

    def sample(self, prompt: str, options: SampleOptions = SampleOptions()) -> list[str]:
        """``options.num`` continuations, prompt included, of ``options.lines`` lines at most."""
        start = _plain(prompt)
        grown = [GrowingLines(self.tokenizer, start, options.lines) for _ in range(options.num)]
        texts = [lines.text() for lines in grown]
        for tokens in self.tokens(prompt, options):
            for place, token in enumerate(tokens):
                texts[place] += grown[place].add(token)
        return [text + lines.rest() for text, lines in zip(texts, grown, strict=True)]

    def close(self) -> None:
        """Close the sources that were asked."""
        for source in (*(a.source for a in self._askers), *(t.source for t in self._texts)):
            source.close()

    def __enter__(self) -> Sampler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _plain(prompt: str) -> str:
    """A prompt as a corpus would have been read."""
    return plain_line(prompt, "The prompt")
