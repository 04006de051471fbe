"""Loads a model and its tokenizer through the library, quietly."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from llmattn.plugin import ConfigError

from llmattn_transformers.first_line import first_line
from llmattn_transformers.offline import offline
from llmattn_transformers.weights import Weights

__all__ = ["load_model"]

_READABLE: dict[str, Any] = {"attn_implementation": "eager", "dtype": torch.float32}
"""What lets attention maps be read."""


def load_model(weights: Weights) -> tuple[Any, Any]:
    """Tokenizer and model, in float32 with attention maps to read. Raises ConfigError."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

    if weights.gguf:
        _check_gguf()
    # A model that brings a program of its own is refused, where the library would offer to run it.
    given: dict[str, Any] = {"trust_remote_code": False}
    if weights.gguf:
        given["gguf_file"] = weights.gguf
    if weights.revision:
        given["revision"] = weights.revision
    kind: Any = AutoModelForCausalLM if weights.causal else AutoModel
    with offline(not weights.download), _quiet(gguf=weights.gguf is not None):
        try:
            tokenizer = AutoTokenizer.from_pretrained(weights.source, **given)
            if weights.seed is None:
                model = kind.from_pretrained(weights.source, **_READABLE, **given)
            else:
                config = AutoConfig.from_pretrained(weights.source, **given)
                with torch.random.fork_rng():
                    torch.manual_seed(weights.seed)
                    model = kind.from_config(config, trust_remote_code=False, **_READABLE)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            reason = first_line(error)
            raise ConfigError(
                f"transformers: {weights.name} cannot be loaded: {reason}. The library may not "
                "know this kind of model; try its original in Hugging Face's form, or another."
            ) from error
    return tokenizer, model


def _check_gguf() -> None:
    if find_spec("gguf") is None or find_spec("accelerate") is None:
        raise ConfigError(
            "transformers: a GGUF file needs two more packages: "
            "pip install 'llmattn-transformers[gguf]'"
        )


@contextmanager
def _read_once() -> Iterator[None]:
    """Let the library read a GGUF file once.

    It reads the file three times, and makes the table of tensor names anew for each module of
    the model: 11 of 20 seconds.
    """
    gguf: Any = import_module("gguf")
    names = ("GGUFReader", "get_tensor_name_map")
    own = {name: getattr(gguf, name) for name in names}
    try:
        for name in names:
            setattr(gguf, name, cache(own[name]))
        yield
    finally:
        for name in names:
            setattr(gguf, name, own[name])


@contextmanager
def _quiet(*, gguf: bool) -> Iterator[None]:
    """No bars and warnings of loading. Those of downloading stay."""
    from transformers.utils import logging as transformers_logging

    library: Any = transformers_logging
    bars, level = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings(), ExitStack() as stack:
            warnings.simplefilter("ignore")
            if gguf:  # whose bar has no switch
                stack.enter_context(redirect_stderr(io.StringIO()))
                stack.enter_context(_read_once())
            yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()
