"""Why an answer holds no usable scores: every cause once, with its sentence and its remedy."""

from __future__ import annotations

from enum import Enum

__all__ = ["Cause"]

_ADDRESS = "Is the base URL right? It must lead to the provider's API; OpenAI's mostly end in /v1."
_OTHER_MODEL = "Try another model (--model)."
_MORE_TOKENS = "If the model reasons first, allow for it: -o {name}.reasoning_tokens={more}"


class Cause(Enum):
    """What was wrong with a reply.

    ``sentence`` says it, ``remedy`` what to do; ``{name}`` in it stands for the provider,
    ``{more}`` for a number of tokens. ``forms``: asking in a plainer form may mend it, since
    servers ignore a JSON schema without saying so. ``smaller``: a smaller request may.
    """

    def __init__(
        self, sentence: str, remedy: str, forms: bool = False, smaller: bool = False
    ) -> None:
        self.sentence = sentence
        self.remedy = remedy
        self.forms = forms
        self.smaller = smaller

    # The server's: no model has been heard.
    WEB_PAGE = ("The server sent a web page in place of an answer", _ADDRESS)
    STREAM = (
        "The server sent a stream of events, though none was asked for",
        "Switch streaming off in the server, or in the proxy before it.",
    )
    NOT_JSON = ("The server sent something else than a JSON object", _ADDRESS)
    EMPTY_BODY = ("The server sent an answer without a body", _ADDRESS)
    ERROR = (
        "The server sent an error as if it were an answer (HTTP 200)",
        "Mend what it names; the server's log may say more.",
    )
    NO_REPLY = ("The answer holds no reply of a model", _ADDRESS)

    # The model's: what it said is no scores.
    TOOL_CALLS = (
        "The model called a tool in place of answering",
        f"Take the tools from it at the server. {_OTHER_MODEL}",
    )
    REFUSAL = ("The model refused", f"{_OTHER_MODEL}")
    FILTERED = (
        "The server's content filter held the reply back",
        f"Loosen the filter where you rent the model. {_OTHER_MODEL}",
    )
    REASONING = (
        "The model reasoned, and gave no answer",
        f"{_MORE_TOKENS}, or ask for less reasoning.",
        True,
    )
    CUT = (
        "The reply was cut at its limit of tokens",
        f"{_MORE_TOKENS}; else ask for less at once: -o {{name}}.pairs_per_request=256",
        False,
        True,
    )
    EMPTY = ("The reply is empty", _OTHER_MODEL, True)
    NO_JSON = ("The reply holds no complete JSON object", _OTHER_MODEL, True)
    FORM = (
        "The reply has another form than was asked",
        f"{_OTHER_MODEL} -o {{name}}.reply=integers may suit this one better.",
        True,
    )
    COUNT = (
        "The reply has another number of rows than were asked",
        f"Ask for less at once: -o {{name}}.rows_per_request=16. {_OTHER_MODEL}",
        True,
        True,
    )
    SCORES = (
        "No row of the reply has the scores that were asked",
        f"Ask for shorter rows: -o {{name}}.keys_per_row=8. {_OTHER_MODEL}",
        True,
        True,
    )
    OTHER = ("The reply cannot be used", _OTHER_MODEL)

    @property
    def of_model(self) -> bool:
        """Whether a model was heard: what it says next may be better, what a server that is
        none sends will not.
        """
        return self not in (
            Cause.WEB_PAGE,
            Cause.STREAM,
            Cause.NOT_JSON,
            Cause.EMPTY_BODY,
            Cause.ERROR,
            Cause.NO_REPLY,
            Cause.TOOL_CALLS,
        )

    def advice(self, name: str, more: int = 4096) -> str:
        """The remedy for the provider ``name``; ``more``: tokens to allow for reasoning."""
        return self.remedy.format(name=name, more=more)
