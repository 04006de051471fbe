"""The base of every provider that asks a chat model: it leaves to a plugin one call, `complete`."""

from __future__ import annotations

import abc
import json
import logging
from collections.abc import Sequence
from typing import ClassVar

from attrs import frozen

from llmattn.causes import Cause
from llmattn.errors import BadReply
from llmattn.identity import Identity
from llmattn.providers.chat_settings import ChatSettings
from llmattn.providers.criteria import read_criteria
from llmattn.providers.prompt import LAYOUT, Prompt, build_prompt, system_text
from llmattn.providers.protocol import Limits, RateHint, Reply, StandIn
from llmattn.providers.reply import bad_reply, excerpt, read_reply
from llmattn.providers.reply_text import split_thoughts
from llmattn.providers.text_prompt import TEXT_LAYOUT
from llmattn.rows import Row, Scope
from llmattn.secrets import strip_credentials
from llmattn.settings import identity_details
from llmattn.usage import Usage

__all__ = ["ChatProvider", "Completion"]

log = logging.getLogger(__name__)

_BYTES_A_TOKEN = 4.4  # of prompts as built here, by SmolLM2's tokenizer
_BYTES_A_TOKEN_OF_TEXTS = 2.2  # with their numbers and free-standing marks
_TEMPLATE_TOKENS = 64  # what a chat template adds around the texts, at most


@frozen
class Completion:
    """What a chat model answered.

    ``finish_reason``: ``stop``, or why the text may be no answer: ``length``,
    ``content_filter``, ``refusal`` (the text then holds the model's words), ``tool_calls``.
    ``reasoning``: what it thought before, where the server tells that apart. ``usage`` without
    tokens: the server did not say; ``usage.requests``: how many it took.
    """

    text: str
    usage: Usage = Usage()
    model: str | None = None
    finish_reason: str = "stop"
    rate: RateHint | None = None
    reasoning: str = ""


class ChatProvider(abc.ABC):
    """Scores rows by asking a chat model; each criterion is a channel.

    The setting ``scope`` says whether words are rated in pairs, or as words of a text so far.

    A plugin sets ``name`` (as registered) and ``scoring_revision`` (raised when the same
    settings start to give other scores) and writes :meth:`complete` and :meth:`aclose`.
    """

    name: ClassVar[str]
    scoring_revision: ClassVar[int] = 1

    def __init__(self, settings: ChatSettings) -> None:
        self.settings = settings
        self._usable = False
        self._more_room = 0  # tokens beyond those that were set, once replies have been cut
        self._scope = Scope(settings.scope)
        self._criteria = read_criteria(settings.criteria, self._scope)
        self._system = system_text(self._criteria, settings.reply, self._scope)
        layout = LAYOUT if self._scope is Scope.PAIR else TEXT_LAYOUT
        self._identity = Identity(
            provider=self.name,
            revision=self.scoring_revision,
            scope=self._scope,
            channels=self.channels,
            details={**identity_details(settings), "prompt": self._system, "layout": layout},
        )

    @abc.abstractmethod
    async def complete(self, prompt: Prompt) -> Completion:
        """Ask the model once.

        Raises RateLimited, ProviderUnavailable, ProviderRejected or BadReply.
        """

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Give back connections."""

    @property
    def scope(self) -> Scope:
        return self._scope

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(criterion.name for criterion in self._criteria)

    @property
    def limits(self) -> Limits:
        given = self.settings
        return Limits(
            pairs_per_request=given.pairs_per_request,
            rows_per_request=given.rows_per_request,
            keys_per_row=given.keys_per_row,
            requests_at_once=given.requests_at_once,
            timeout=given.timeout,
        )

    def identity(self) -> Identity:
        return self._identity

    @property
    def stand_in(self) -> StandIn | None:
        """See ``NamedServer``: of settings with a ``server_name``."""
        if not getattr(self.settings, "server_name", ""):
            return None
        name = str(dict(self._identity.details)["base_url"])
        address = strip_credentials(getattr(self.settings, "base_url", ""))
        if name == address:
            return None
        return StandIn(name, address, self.settings.server_may_differ)

    def prompt(self, rows: Sequence[Row]) -> Prompt:
        """The request that :meth:`score` would send for ``rows``."""
        return build_prompt(
            rows,
            self._criteria,
            system=self._system,
            reply=self.settings.reply,
            reasoning_tokens=self._reasoning_tokens,
            scope=self._scope,
        )

    @property
    def _reasoning_tokens(self) -> int:
        return self.settings.reasoning_tokens + self._more_room

    def estimate(self, rows: Sequence[Row]) -> Usage:
        """Upper bound of the tokens that ``score(rows)`` is billed: no token is shorter than
        a byte of the prompt, and no reply longer than what is allowed.
        """
        prompt = self.prompt(rows)
        texts = (prompt.system, prompt.user, json.dumps(prompt.schema))
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        return Usage(1, size + _TEMPLATE_TOKENS, prompt.max_output_tokens)

    def expect(self, rows: Sequence[Row]) -> Usage:
        """The tokens that ``score(rows)`` is likely to be billed. A model that reasons is taken
        to use half of what it is allowed for that.
        """
        prompt = self.prompt(rows)
        system, user = (
            len(t.encode("utf-8", "surrogatepass")) for t in (prompt.system, prompt.user)
        )
        pairs = self._scope is Scope.PAIR
        tokens = system / _BYTES_A_TOKEN + user / (
            _BYTES_A_TOKEN if pairs else _BYTES_A_TOKEN_OF_TEXTS
        )
        each = 1 if self.settings.reply == "digits" else 2
        scores = each * sum(len(row.keys) for row in rows) + len(rows)
        return Usage(
            1,
            round(tokens) + _TEMPLATE_TOKENS // 4,
            len(self.channels) * (scores + 4) + 4 + self._likely_reasoning,
        )

    @property
    def _likely_reasoning(self) -> int:
        effort = getattr(self.settings, "reasoning_effort", None)
        return 0 if effort == "none" else self._reasoning_tokens // 2

    def ask_plainer(self) -> bool:
        """Ask in a plainer form from now on, since the reply to a JSON schema was none; False if
        there is none to try. A plugin whose server takes several forms overrides it.
        """
        return False

    def keep_form(self) -> None:
        """A usable reply came, so the present form is kept."""
        log.debug("%s: the reply was usable", self.name)

    async def score(self, rows: Sequence[Row]) -> Reply:
        prompt = self.prompt(rows)
        completion = await self.complete(prompt)
        try:
            reply = self.read(rows, completion, prompt.max_output_tokens)
        except BadReply as error:
            error.provisional = not self._usable and self._asks_otherwise(error.cause)
            raise
        if not self._usable:
            self._usable = True
            self.keep_form()
        return reply

    def read(self, rows: Sequence[Row], completion: Completion, limit: int) -> Reply:
        """The scores in ``completion``, which was allowed ``limit`` tokens.

        Complete JSON counts whatever the finish reason, and stands in for an empty text if the
        reasoning ends with it. Raises BadReply, with its cause and the usage that was billed.
        """
        answer, thoughts = split_thoughts(completion.text)
        cut = completion.finish_reason == "length"
        try:
            if answer.strip():
                scores = read_reply(answer, rows, self.channels, cut=cut)
            else:
                thoughts = thoughts or completion.reasoning
                if cut and not thoughts.lstrip().startswith("{"):
                    raise BadReply("what ends thoughts that were cut may be a draft")
                scores = read_reply(thoughts, rows, self.channels, cut=cut, last=True)
        except BadReply as error:
            log.debug("%s: unusable reply: %s", self.name, excerpt(completion.text, 2000))
            raise self._unusable(error, answer, thoughts, completion, limit) from None
        return Reply(scores, completion.usage, completion.model, completion.rate)

    def _unusable(
        self, error: BadReply, answer: str, thoughts: str, completion: Completion, limit: int
    ) -> BadReply:
        """``error`` by its true cause: why the model came to give no scores."""
        cause, quote, detail = error.cause, answer, ""
        reason = completion.finish_reason
        if reason == "refusal":
            cause = Cause.REFUSAL
        elif reason == "content_filter":
            cause = Cause.FILTERED
        elif reason == "tool_calls" and not answer.strip():
            cause = Cause.TOOL_CALLS
        elif not answer.strip() and (thoughts or completion.reasoning).strip():
            cause, quote = Cause.REASONING, thoughts or completion.reasoning
        elif reason == "length":
            cause, detail = Cause.CUT, f"The reply was cut at its limit of {limit} tokens"
            detail += f": {excerpt(answer)}" if answer.strip() else ""
        elif not answer.strip():
            cause, quote = Cause.EMPTY, ""
        else:
            detail = str(error)
        more = max(4096, 2 * self._reasoning_tokens)
        return bad_reply(self.name, cause, quote, detail=detail, usage=completion.usage, more=more)

    def _asks_otherwise(self, cause: Cause) -> bool:
        """Before any usable reply: whether something about the request was changed for
        ``cause``, so that asking again is another question.
        """
        if cause in (Cause.CUT, Cause.REASONING) and not self._more_room:
            self._more_room = max(4096, self.settings.reasoning_tokens)
            return True
        return cause.forms and self.ask_plainer()
