"""The language model at work: reading texts, and what it keeps of those it has read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from inspect import signature
from typing import Any
from weakref import WeakValueDictionary

import torch
from attrs import field, frozen
from llmattn.plugin import ConfigError, ProviderRejected, choose_device
from torch import Tensor

from llmattn_transformers.loading import load_model
from llmattn_transformers.pieces import Encoded
from llmattn_transformers.weights import Weights

__all__ = ["Gap", "Past", "Teacher", "load_teacher"]

_loaded: WeakValueDictionary[tuple[Weights, str], Teacher] = WeakValueDictionary()
_KEPT, _KEPT_TOKENS = 16, 8192
"""How many texts' keys and values are kept, so that one more word costs one short step."""


@frozen(eq=False)
class Past:
    """Keys and values of a text that the model has read: two tensors a layer, up to the last one
    that was needed.
    """

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...] = field(repr=False)

    def cut(self, size: int) -> Past:
        """Its first ``size`` tokens. Copies nothing."""
        layers = tuple((k[:, :, :size], v[:, :, :size]) for k, v in self.layers)
        return Past(self.ids[:size], layers)


@frozen
class Gap:
    """Tokens ``start`` to ``end - 1``, left out; ``keep``: tokens behind them to foretell after."""

    start: int
    end: int
    keep: tuple[int, ...]


class _Enough(Exception):
    """The last layer that is needed has been read; it ends the model's own forward."""


class Teacher:
    """A causal language model in float32 with its tokenizer. Not for several threads at once.

    ``most``: how many tokens it reads.
    """

    def __init__(self, weights: Weights, device: torch.device) -> None:
        """Raises ConfigError if the model cannot be loaded."""
        self.weights = weights
        self.device = device
        self.tokenizer, self.model = load_model(weights)
        self.model.to(device).eval().requires_grad_(False)
        config = self.model.config.get_text_config()
        most = int(getattr(config, "max_position_embeddings", None) or 0)
        self.most = most if most > 0 else 1 << 30
        # Others make positions, or who sees whom, out of masks that have one row a text.
        rotary = any(name.endswith("rotary_emb") for name, _ in self.model.named_modules())
        # GPT-Neo counts its windows by places, so that none is long enough to leave words out.
        sliding = 1 if getattr(config, "window_size", None) else None
        self.window: int | None = getattr(config, "sliding_window", None) or sliding
        """How many tokens back some layers look at most; None: all look at all."""
        self.grows_together = rotary and not self.window
        """Whether :meth:`go_on_together` reads as :meth:`go_on` does."""
        self._kept: list[Past] = []

    def check(self, encoded: Encoded) -> None:
        """Raise ProviderRejected if a text is too long for the model, or not of its tokens."""
        if len(encoded.ids) > self.most:
            raise ProviderRejected(
                f"transformers: a text of {len(encoded.ends)} words is {len(encoded.ids)} "
                f"tokens, and {self.weights.name} reads {self.most} at most: use shorter "
                "windows."
            )
        known = self.model.get_input_embeddings().num_embeddings
        if max(encoded.ids) >= known:
            raise ProviderRejected(
                f"transformers: the tokenizer of {self.weights.name} gives the token "
                f"{max(encoded.ids)}, of which the model, with {known}, knows nothing; they do not "
                "belong together. If it is the start token, name another: "
                "-o transformers.start_token=..."
            )

    @contextmanager
    def attending(self, take: Callable[[int, Tensor], None], last: int) -> Iterator[None]:
        """While open, each layer's weights ``(B, H, S, keys)`` go to ``take(layer, weights)``, and
        :meth:`read`, :meth:`go_on` and :meth:`go_on_together` end with the layer ``last``.

        Layer by layer, so that never more than one is in memory.
        """
        modules = [
            module
            for module in self.model.modules()
            if type(module).__name__.endswith("Attention") and hasattr(module, "layer_idx")
        ]
        if len(modules) != self.weights.n_layer:
            raise ConfigError(
                f"transformers: {self.weights.name} shows no attention map of each layer "
                f"({type(self.model).__name__}): choose a model whose layers all have attention."
            )

        def hook(module: Any, _: Any, output: Any) -> None:
            maps = output[1] if isinstance(output, tuple) and len(output) > 1 else None
            if not isinstance(maps, Tensor) or maps.dim() != 4:
                raise ConfigError(
                    f"transformers: {self.weights.name} hides its attention maps "
                    f"({type(module).__name__}): choose another model."
                )
            layer = int(module.layer_idx)
            take(layer, maps)
            if layer == last < self.weights.n_layer - 1:
                raise _Enough

        handles = [module.register_forward_hook(hook) for module in modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def read(self, ids: Tensor) -> None:
        """Let the model read B texts, ``(B, S)``, for their maps."""
        with suppress(_Enough):
            self.model.base_model(input_ids=ids.to(self.device), use_cache=False)

    def logits(self, ids: Tensor, last: int) -> Tensor:
        """``(last, V)``: of the token after each of the last tokens of a text ``(S,)``."""
        read = ids[None].to(self.device)
        found: Tensor = self.model(input_ids=read, use_cache=False, logits_to_keep=last).logits[0]
        return found

    def remembered(self, ids: Sequence[int], most: int, layers: int = 0) -> Past | None:
        """What is kept of the longest beginning of ``ids``, cut to ``most`` tokens, if anything.

        ``layers``: how many of them it must have; 0 for all.
        """
        best, length = None, 0
        for past in self._kept:
            if len(past.layers) < (layers or self.weights.n_layer):
                continue
            same = min(_common(past.ids, ids), most)
            if same > length:
                best, length = past, same
        return best.cut(length) if best else None

    def go_on(self, ids: Sequence[int], past: Past | None, **options: Any) -> tuple[Any, Past]:
        """Read the text ``ids``, of which ``past`` has been read, and remember the whole.

        Gives the model's output for the new tokens (None if :meth:`attending` has ended it before),
        and the whole. With options of the model's ``forward``, such as ``logits_to_keep``, the
        output has ``logits``, else the last hidden states only.
        """
        output, layers = self._run(ids, len(past.ids) if past else 0, past, options)
        whole = Past(tuple(ids), layers)
        self._remember(whole)
        return output, whole

    def go_on_together(
        self, texts: Sequence[Sequence[int]], pasts: Sequence[Past | None]
    ) -> tuple[int, int]:
        """:meth:`go_on` with B texts at once, of each of which its past has been read.

        Returns ``before`` and ``new``: a layer's weights are ``(B, H, new, before + new)``, where
        the first columns are the past's tokens, and those from ``before`` on the new ones. What a
        shorter text lacks is filled up behind both, where nobody looks.
        """
        sizes = [len(past.ids) if past else 0 for past in pasts]
        before = max(sizes)
        new = max(len(text) - size for text, size in zip(texts, sizes, strict=True))
        ids = torch.full((len(texts), new), texts[0][0])
        mask = torch.full((len(texts), 1, new, before + new), torch.finfo(torch.float32).min)
        mask[..., before:].triu_(1)
        for row, (text, size) in enumerate(zip(texts, sizes, strict=True)):
            ids[row, : len(text) - size] = torch.tensor(text[size:])
            mask[row, ..., :size] = 0
        positions = torch.tensor(sizes)[:, None] + torch.arange(new)
        read = self._cache(_side_by_side(pasts, before))
        with suppress(_Enough):
            self.model.base_model(
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                position_ids=positions.clamp(max=self.most - 1).to(self.device),
                use_cache=True,
                **{_keeps_in(self.model.base_model): read},
            )
        done = _layers(read, before + new)
        for row, (text, size) in enumerate(zip(texts, sizes, strict=True)):
            ends = size, before, before + len(text) - size
            layers = [(_own(k, row, *ends), _own(v, row, *ends)) for k, v in done]
            self._remember(Past(tuple(text), tuple(layers)))
        return before, new

    def leave_out(self, whole: Past, gaps: Sequence[Gap]) -> list[Tensor]:
        """Logits ``(len(gap.keep), V)`` for each gap, as if its tokens were not in the text
        ``whole``; the others keep their positions.

        What follows the gaps is read in one go: behind the text up to the last gap's beginning
        stands the rest after the first gap, then the rest after the second, and so on; none
        sees another's rest, nor what stands before another's gap only. Raises ProviderRejected if
        some layers look back less far than to the text's beginning, which masks of our own undo.
        """
        size = len(whole.ids)
        if self.window and size > self.window:
            raise ProviderRejected(
                f"transformers: some layers of {self.weights.name} look back {self.window} tokens "
                f"at most, so of a text of {size} no word can be left out: use shorter windows, or "
                "another --method."
            )
        before = max(gap.start for gap in gaps)
        total = sum(size - gap.end for gap in gaps)
        mask = torch.full((total, before + total), torch.finfo(torch.float32).min)
        ids: list[int] = list(whole.ids[:before])
        positions: list[int] = []
        keep: list[int] = []
        at = 0
        for gap in gaps:
            rest = size - gap.end
            mask[at : at + rest, : gap.start] = 0
            mask[at : at + rest, before + at : before + at + rest].triu_(1)
            ids.extend(whole.ids[gap.end :])
            positions.extend(range(gap.end, size))
            keep.extend(at + token - gap.end for token in gap.keep)
            at += rest
        options = {
            "attention_mask": mask[None, None].to(self.device),
            "position_ids": torch.tensor([positions], device=self.device),
            "logits_to_keep": torch.tensor(keep, device=self.device),
        }
        output, _ = self._run(ids, before, whole.cut(before), options)
        return list(torch.split(output.logits[0], [len(gap.keep) for gap in gaps]))

    def _run(
        self, ids: Sequence[int], start: int, past: Past | None, options: Mapping[str, Any]
    ) -> tuple[Any, tuple[tuple[Tensor, Tensor], ...]]:
        new = torch.tensor([ids[start:]], device=self.device)
        read = self._cache(past.layers if past else ())
        run = self.model if options else self.model.base_model
        output: Any = None
        with suppress(_Enough):
            output = run(input_ids=new, use_cache=True, **{_keeps_in(run): read}, **options)
        return output, _layers(read, len(ids))

    def _cache(self, layers: Sequence[tuple[Tensor, Tensor]]) -> Any:
        from transformers import DynamicCache

        return DynamicCache(layers) if layers else DynamicCache()

    def _remember(self, past: Past) -> None:
        """Keep the newest texts; one that was gone on with makes place for the longer one."""
        kept = [
            p
            for p in self._kept
            if p.ids != past.ids[: len(p.ids)] or len(p.layers) > len(past.layers)
        ]
        self._kept = [*kept, past][-_KEPT:]
        while len(self._kept) > 1 and sum(len(p.ids) for p in self._kept) > _KEPT_TOKENS:
            del self._kept[0]


def load_teacher(weights: Weights, device: str) -> Teacher:
    """The model, loaded once for all that use it at the same time. Raises ConfigError."""
    where = choose_device(device)
    key = weights, str(where)
    teacher = _loaded.get(key)
    if teacher is None:
        teacher = _loaded[key] = Teacher(weights, where)
    return teacher


def _keeps_in(module: Any) -> str:
    """The argument of ``module`` for keys and values: transformers 5.24 has renamed it."""
    return "cache" if "cache" in signature(module.forward).parameters else "past_key_values"


def _layers(read: Any, size: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """The keys and values that the library has kept of the layers that were read: those behind
    the last one that was needed may still have what was there before, not of ``size`` tokens.
    """
    return tuple((e.keys, e.values) for e in read.layers if e.keys.shape[2] == size)


def _side_by_side(pasts: Sequence[Past | None], size: int) -> list[tuple[Tensor, Tensor]]:
    """The keys and values of several texts in each layer that all have, filled up to ``size``
    tokens.
    """
    known = min((past for past in pasts if past), key=lambda p: len(p.layers), default=None)
    if known is None:
        return []
    found = []
    for layer, pair in enumerate(known.layers):
        rooms = [part.new_zeros(len(pasts), part.shape[1], size, part.shape[3]) for part in pair]
        for row, past in enumerate(pasts):
            for room, part in zip(rooms, past.layers[layer] if past else (), strict=False):
                room[row, :, : part.shape[2]] = part[0]
        found.append((rooms[0], rooms[1]))
    return found


def _own(part: Tensor, row: int, size: int, before: int, end: int) -> Tensor:
    """A text's tokens among those of several: the first ``size``, and from ``before`` to ``end``.

    A copy, or else one text would keep all in memory.
    """
    return torch.cat([part[row : row + 1, :, :size], part[row : row + 1, :, before:end]], dim=2)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the beginning that both share."""
    same = 0
    for one, other in zip(a, b, strict=False):
        if one != other:
            break
        same += 1
    return same
