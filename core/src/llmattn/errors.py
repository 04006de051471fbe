"""All of llmattn's errors.

LlmattnError
├── ConfigError            settings, options, environment
│   ├── MissingSetting     a setting that a plugin cannot do without
│   └── UnknownPlugin      a name of a provider, cache or executor that nothing registered
├── PluginError            a plugin that was asked for but cannot be used
│   └── IncompatiblePlugin  one that was made for another llmattn
├── CorpusError            a corpus or prompt that cannot be read or is too small
├── CheckpointError        a checkpoint that cannot be read, or does not fit
│   └── CheckpointDamaged  it is not as it was written, or is no checkpoint
├── ResultDamaged          a comparison's result or a training log is not as it was written
├── CacheError             the score cache cannot be opened, read or written
│   └── CacheDamaged       its file is not as it was written; ``cache verify`` says more
├── BudgetExceeded         the next request would cost more than was allowed
├── WorkerLost             the process that carried something out has died
└── ProviderError          a request for scores failed
    ├── RateLimited        the provider asks to slow down; tried again
    ├── ProviderUnavailable  no answer, or a server fault; tried again
    ├── ProviderRejected   the provider will not do this; not tried again
    ├── TooLarge           the request is more than the model takes; asked in smaller ones
    ├── BadReply           an answer that holds no usable scores; asked again
    ├── Forgotten          the server no longer has what was handed over to it
    └── DegenerateReplies  answers that are in shape but say nothing

A message says what was wrong, where, and what to do next.

What a command that raises one exits with is the ``exit_code`` of its class. With those that are no
error of ours (docs/setup.md has the same table):

0      done
1      failed in another way: a text, a disk, a checkpoint that does not fit, a fault of llmattn
2      wrongly called: an option or argument that there is not (typer)
3      set up wrongly: a setting, a variable, a configuration file, a plugin
4      a provider refused, could not be reached, or gave no usable scores
5      the budget does not suffice
6      a file is damaged, or is not what it is taken for
128+n  stopped by the signal n: 130 for Ctrl-C
"""

from __future__ import annotations

from typing import ClassVar

from llmattn.causes import Cause
from llmattn.usage import Usage

__all__ = [
    "BadReply",
    "BudgetExceeded",
    "CacheDamaged",
    "CacheError",
    "CheckpointDamaged",
    "CheckpointError",
    "ConfigError",
    "CorpusError",
    "DegenerateReplies",
    "Forgotten",
    "IncompatiblePlugin",
    "LlmattnError",
    "MissingSetting",
    "PluginError",
    "ProviderError",
    "ProviderRejected",
    "ProviderUnavailable",
    "RateLimited",
    "ResultDamaged",
    "TooLarge",
    "UnknownPlugin",
    "WorkerLost",
]


class LlmattnError(Exception):
    """Base of every error that llmattn raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(LlmattnError):
    """A setting, option or environment variable is wrong."""

    exit_code: ClassVar[int] = 3


class MissingSetting(ConfigError):
    """A plugin's required setting has no value; the message names its variable."""


class UnknownPlugin(ConfigError):
    """Nothing installed registers a provider, cache or executor of this name."""


class PluginError(LlmattnError):
    """A plugin that was asked for failed to load, or clashes with another."""

    exit_code: ClassVar[int] = 3


class IncompatiblePlugin(PluginError):
    """A plugin was made for another llmattn; the message says how."""


class CorpusError(LlmattnError):
    """A corpus or prompt cannot be read, or is too small for what was asked."""


class CheckpointError(LlmattnError):
    """A checkpoint cannot be read or written, or does not fit the request."""


class CheckpointDamaged(CheckpointError):
    """A file is not the checkpoint that was written, or none at all."""

    exit_code: ClassVar[int] = 6


class ResultDamaged(LlmattnError):
    """The result of a comparison, or a training log, is not as it was written, or none."""

    exit_code: ClassVar[int] = 6


class CacheError(LlmattnError):
    """The score cache cannot be opened, read or written."""


class CacheDamaged(CacheError):
    """A file of the score cache is not as it was written."""

    exit_code: ClassVar[int] = 6


class BudgetExceeded(LlmattnError):
    """The next request could cost more than the budget has left."""

    exit_code: ClassVar[int] = 5


class WorkerLost(LlmattnError):
    """The process that carried something out has died; how far it came is not known."""


class ProviderError(LlmattnError):
    """A request for scores failed.

    ``usage`` (or None) is what the failed request was billed all the same: a reply that cannot
    be read still costs its tokens. ``requests``: how many were sent to find out, where the
    provider tried several forms of one.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage
        self.requests = 1


class RateLimited(ProviderError):
    """The provider asks to slow down (HTTP 429).

    ``retry_after``: seconds to wait as the provider states them, or None.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, usage: Usage | None = None
    ) -> None:
        super().__init__(message, usage=usage)
        self.retry_after = retry_after


class ProviderUnavailable(ProviderError):
    """No answer, a dropped connection or a server fault: worth another try.

    ``retry_after``: seconds to wait as the provider states them, or None. ``reached``: False
    when no connection came about. ``busy``: the server says that it will answer later, as one
    that is starting does; it is given more tries than one that has a fault. ``billed``: whether
    the request may have been charged all the same (it was sent, and the answer was lost).
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        usage: Usage | None = None,
        reached: bool = True,
        busy: bool = False,
        billed: bool = False,
    ) -> None:
        super().__init__(message, usage=usage)
        self.retry_after = retry_after
        self.reached = reached
        self.busy = busy
        self.billed = billed


class ProviderRejected(ProviderError):
    """The provider will not do this: wrong key, unknown model, refused request."""


class TooLarge(ProviderError):
    """The request, or the reply that it asks for, is more than the model takes.

    ``fraction``: how much of it may fit, between 0 and 1.
    """

    def __init__(self, message: str, *, fraction: float = 0.25) -> None:
        super().__init__(message)
        self.fraction = fraction


class BadReply(ProviderError):
    """The provider answered, but no scores can be read from the answer.

    ``cause``: why; replies are counted by it. ``provisional``: the provider asks otherwise from
    now on (a plainer form, more room), so the same request is worth another try at once.
    """

    def __init__(
        self, message: str, *, cause: Cause = Cause.OTHER, usage: Usage | None = None
    ) -> None:
        super().__init__(message, usage=usage)
        self.cause = cause
        self.provisional = False


class Forgotten(ProviderError):
    """The server no longer has a batch, or its answers; what they have cost is not known."""


class DegenerateReplies(ProviderError):
    """Too many rows are constant or count up: the model cannot do the task as asked."""
