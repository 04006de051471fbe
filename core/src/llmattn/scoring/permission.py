"""Whether a source that costs money may be asked, and how far: settled before the first request.

The user's own limit counts as an answer, and so do ``--yes`` and the limits of the environment.
Else a person at a terminal is asked; where there is none, a default limit holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmattn.errors import ConfigError
from llmattn.notices import confirm, notify, person_is_there
from llmattn.providers.prices import Price
from llmattn.scoring.budget import Budget
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.work import Work
from llmattn.settings import origin_of
from llmattn.usage import Usage
from llmattn.wording import counted

__all__ = ["DEFAULT_COST", "DEFAULT_REQUESTS", "MAX_COST", "MAX_REQUESTS", "Permission"]

DEFAULT_COST = 1.0
"""US dollars that a provider may cost where nobody has said anything."""
DEFAULT_REQUESTS = 100
"""Requests to a provider of unknown price where nobody has said anything."""
MAX_COST, MAX_REQUESTS = "LLMATTN_MAX_COST", "LLMATTN_MAX_REQUESTS"
"""Variables that set other defaults."""

_LEAST_COST = 0.01
"""US dollars that a yes allows at the least: a first reply may be no use."""
_TRIES = 20
"""Requests that a yes allows beside twice those that are planned."""


class Permission:
    """Sets the limits of ``budget``. Used by one source, for as long as it is open.

    ``free``: asking costs nothing, so only the user's own limits hold. ``in_dollars``: whether
    price and tokens are known beforehand; else requests are counted. Raises ConfigError for a
    limit in ``environ`` that is no number.
    """

    def __init__(
        self,
        name: str,
        model: str | None,
        budget: Budget,
        options: ScoringOptions,
        environ: Mapping[str, str],
        *,
        free: bool,
        in_dollars: bool,
    ) -> None:
        self._name, self._model, self._budget = name, model, budget
        self._yes = options.yes
        self._in_dollars = in_dollars
        self._told = False
        self._as_needed = False
        self.is_users = options.is_limited
        """Whether the user has set a limit for this very run, which then ends as it was meant."""
        self._variable = MAX_COST if in_dollars else MAX_REQUESTS
        self._option = "--max-cost" if in_dollars else "--max-requests"
        self._fixed = self.is_users
        self._default = DEFAULT_COST if in_dollars else float(DEFAULT_REQUESTS)
        if not free and not self.is_users and environ.get(self._variable):
            self._default, self._fixed = _number(environ, self._variable), True
        self._default /= options.processes
        self.free = free

    def is_ample(self, work: Work) -> bool:
        """Whether no limit is to be expected to end ``work``."""
        if self.free:
            return not self.is_users
        if self.is_users:
            return False
        if not self._fixed and (self._yes or person_is_there()):
            return True  # what a yes allows
        return 2 * self._amount(work.expected) <= self._default

    def ask(self, work: Work | None) -> None:
        """Call it before anything is sent for ``work``; None: for what will turn out to be needed.

        Tells what that is, and what it costs at the most. Raises ConfigError if a person says no.
        """
        if self._as_needed or (work is not None and not work.lacking):
            return
        if self.free:
            if work is not None:
                notify(f"{self._what(work)}.")
            return
        self._as_needed = work is None
        if self._fixed or not (self._yes or person_is_there()):
            if not self._told:
                self._told = True
                self._tell_limit(work)
            return
        if work is None:
            allowed = self._default
        elif self._in_dollars:
            allowed = max(_LEAST_COST, self._amount(work.most))
        else:
            allowed = 2 * self._amount(work.most) + _TRIES
        if self._told and self._amount(self._budget.spent) + allowed <= self._limit():
            return
        self._told = True
        told = f"{self._what(work)}; at most {self._shown(allowed)}, tries again included."
        if self._yes:
            notify(told)
        elif not confirm(f"{told} Ask?"):
            raise ConfigError(
                f"Nothing was asked of {self._name}. --yes, or a limit ({self._option}), asks "
                "without a question; --provider cooccurrence works offline and costs nothing."
            )
        self._set(self._amount(self._budget.spent) + allowed)

    def _tell_limit(self, work: Work | None) -> None:
        if self.is_users:
            budget = self._budget
            limits = [] if budget.max_cost is None else [f"${budget.max_cost:,.2f} (--max-cost)"]
            if budget.max_requests is not None:
                limits.append(f"{counted(budget.max_requests, 'request')} (--max-requests)")
            notify(f"{self._what(work)}; at most {' and '.join(limits)}.")
            return
        self._set(self._default)
        whose = self._variable if self._fixed else "the limit where nobody has set one"
        notify(
            f"{self._what(work)}; at most {self._shown(self._default)}, {whose}. "
            f"{self._option} sets another for one command, {self._variable} for all."
        )

    def _set(self, limit: float) -> None:
        if self._in_dollars:
            self._budget.max_cost = limit
        else:
            self._budget.max_requests = int(limit)
        self._budget.advice = (
            f"Allow more with {self._option} (or {self._variable}), and run the same command again."
        )

    def _limit(self) -> float:
        limit = self._budget.max_cost if self._in_dollars else self._budget.max_requests
        return float(limit or 0)

    def _amount(self, usage: Usage) -> float:
        """``usage`` in the unit that is limited."""
        if not self._in_dollars:
            return usage.requests
        price: Price | None = self._budget.price
        return usage.cost or (price.of(usage) if price else 0.0)

    def _what(self, work: Work | None) -> str:
        """What will be asked, in words."""
        who = f"{self._name}: "
        if work is None:
            return f"{who}{self._model or 'it'} will be asked for scores as they are needed"
        usage = work.expected
        parts = [f"{counted(usage.requests, 'request')} to send"]
        if tokens := usage.prompt_tokens + usage.completion_tokens:
            parts.append(f"about {counted(tokens, 'token')}")
        if not self.free:
            parts.append(f"${self._amount(usage):,.4f}" if self._in_dollars else "price not known")
        by = f" by {self._model}" if self._model else ""
        return f"{who}{', '.join(parts)}, for {counted(work.lacking, 'pair')}{by}"

    def _shown(self, amount: float) -> str:
        return f"${amount:,.2f}" if self._in_dollars else counted(int(amount), "request")


def _number(environ: Mapping[str, str], name: str) -> float:
    text = environ[name].strip()
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (name == MAX_REQUESTS and value != int(value)):
        kind = "US dollars, such as 5" if name == MAX_COST else "requests, such as 1000"
        raise ConfigError(f"{origin_of(environ, name)} is {text!r}: write a number of {kind}.")
    return value
