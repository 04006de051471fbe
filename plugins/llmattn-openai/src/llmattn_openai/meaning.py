"""What a refusal means for the run: an error with its remedy, or a shorter request."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urljoin

from llmattn.plugin import (
    Cause,
    Prompt,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
    TooLarge,
    bad_reply,
    excerpt,
    redact,
    strip_credentials,
)

from llmattn_openai.form import Agreement, Form
from llmattn_openai.rate import retry_after
from llmattn_openai.refusal import Refused
from llmattn_openai.room import Room, room_in

__all__ = ["MODEL_OPTION", "Meaning"]

MODEL_OPTION = "--model or in LLM_MODEL"
"""Where a model of scores is named."""

_LISTED_MODELS = 20
_BUSY = (502, 503, 504, 529)
_NO_ROUTE = (404, 405, 501)
_RESPONSES = "/responses"


class Meaning:
    """Makes errors of refusals. ``name``: the provider's; ``key_variable``: the environment
    variable that holds the key; ``model_option``: where another model is named; ``ends``: how
    base URLs end.
    """

    def __init__(
        self,
        name: str,
        shown_url: str,
        key_variable: str,
        model_option: str = MODEL_OPTION,
        ends: str = "Most end in /v1.",
    ) -> None:
        self._name = name
        self._url = shown_url
        self._key_variable = key_variable
        self._model_option = model_option
        self._ends = ends

    def error(self, refused: Refused, path: str) -> ProviderError:
        """The error for an HTTP status of 400 and above, or for one in an answer's place."""
        status, words = refused.meant, refused.words
        if status is None:
            return bad_reply(self._name, Cause.ERROR, words)
        if refused.filtered:
            return bad_reply(self._name, Cause.FILTERED, words)
        about = self._about(refused)
        if self.route_missing(refused, path):
            return ProviderRejected(
                f"{about} It has no {_RESPONSES}, which only OpenAI itself and few others serve. "
                "For another server use `--provider custom` with its address in CUSTOM_BASE_URL. "
                "Or is the base URL wrong? Most end in /v1."
            )
        if status in (401, 403):
            return ProviderRejected(f"{about} Check the key in {self._key_variable}.")
        if status == 402:
            return ProviderRejected(f"{about} The account has no credit left.")
        if status == 429:
            wait = retry_after(refused.headers, words)
            about = f"{about} Ask more slowly (--rpm), or run the same command later."
            return RateLimited(about, retry_after=wait)
        if status in (408, 409) or (status >= 500 and status not in (501, 505)):
            # One that can send an error as an answer is up; what is starting has a status.
            busy = refused.status in _BUSY
            return ProviderUnavailable(about, retry_after=retry_after(refused.headers), busy=busy)
        if status == 407:
            return ProviderRejected(f"{about} Put the proxy's user and password into HTTPS_PROXY.")
        if room_in(status, words, refused.details, 0):
            return ProviderRejected(f"{about} {self._smaller}")
        if status == 404 and "model" in words[:4000].lower():
            return ProviderRejected(f"{about} Name another model with {self._model_option}.")
        if status in _NO_ROUTE:
            return ProviderRejected(f"{about} Is the base URL right? {self._ends}")
        return ProviderRejected(f"{about} --debug shows what was sent.")

    def too_large(self, refused: Refused) -> TooLarge:
        """The error for a request of which a part may do."""
        return TooLarge(f"{self._about(refused)} {self._smaller}")

    def route_missing(self, refused: Refused, path: str) -> bool:
        """Whether the server seems to lack the Responses API, and not the model."""
        named = "model" in refused.words[:4000].lower() or "model" in refused.param
        return path == _RESPONSES and refused.meant in _NO_ROUTE and not named

    def redirected(self, refused: Refused, base_url: str) -> ProviderRejected:
        """The error for a redirect, which names the new address and is not followed."""
        about = f"{self._name}: {self._url} answered {refused.status}"
        asked = refused.url.partition("?")[0]
        try:
            target = urljoin(asked, refused.headers.get("location") or "")
            target = redact(strip_credentials(target)).partition("?")[0]
        except ValueError:
            target = ""
        if not target or target == asked:
            return ProviderRejected(f"{about}, and no answer. Is the base URL right?")
        base = target.removesuffix(asked.removeprefix(base_url))
        own = f": -o {self._name}.base_url={base}" if base.isprintable() else "."
        return ProviderRejected(
            f"{about}: it sends the request on to {excerpt(target)}. Redirects are not followed, "
            "since your texts and key would go where you have not said. Only if you trust that "
            f"address, name it yourself{own}"
        )

    def unknown_model(self, model: str, names: Sequence[str]) -> ProviderRejected | None:
        """The error that names the server's models, if ``model`` is not among them."""
        if not names or model in names:
            return None
        more = ", ..." if len(names) > _LISTED_MODELS else ""
        listed = ", ".join(repr(name)[1:-1][:80] for name in names[:_LISTED_MODELS])
        return ProviderRejected(
            f"{self._name}: {self._url} has no model {model!r}. It has: {redact(listed)}{more}. "
            f"Name one with {self._model_option}."
        )

    def shortened(
        self, agreement: Agreement, form: Form, prompt: Prompt, refused: Refused, room: Room
    ) -> bool:
        """Whether asking for a shorter reply may do where there was too little ``room``.

        Raises TooLarge where it takes a smaller request.
        """
        if form != agreement.form:
            return True  # another request has found out meanwhile
        limit, need = form.limit(prompt), prompt.max_output_tokens - prompt.reasoning_tokens
        if room.of_context:
            most, fraction = _in_context(room, limit, need)
        else:
            most = room.reply or limit // 2
            fraction = None if most >= need else min(0.5, 0.9 * most / need)
        if most is not None and most < limit:
            agreement.limited(max(1, most))
        elif fraction is None:
            fraction = 0.25
        if fraction is None:
            return True
        raise TooLarge(
            f"{self._about(refused)} {self._smaller}",
            fraction=fraction,
        )

    @property
    def _smaller(self) -> str:
        return f"Ask for less at once: -o {self._name}.pairs_per_request=256"

    def _about(self, refused: Refused) -> str:
        words = excerpt(refused.words, 400)
        if refused.status < 400:
            return f"{self._name}: {self._url} sent an error as its answer: {words}."
        return f"{self._name}: {self._url} answered {refused.status}: {words}."


def _in_context(room: Room, limit: int, need: int) -> tuple[int | None, float | None]:
    """``(longest reply to ask for, fraction of the request)``; None: leave it as it is.

    First the room for reasoning goes; where the scores themselves do not fit, a part of them.
    """
    context = room.context
    if context is None:
        return (need, None) if need < limit else (None, 0.25)
    left = context - (room.input or context)
    if 3 * left // 4 > need:  # other requests hold more words
        return 3 * left // 4, None
    asked = max(room.input or 0, need, (room.asked or 0) - (limit - need), 1)
    return context // 2, min(0.5, 0.45 * context / asked)
