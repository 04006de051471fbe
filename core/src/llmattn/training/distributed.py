"""The processes that torchrun started, as one team that trains one model."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from attrs import field, frozen
from torch import nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from llmattn.devices import choose_device
from llmattn.errors import ConfigError, LlmattnError
from llmattn.notices import warn
from llmattn.scoring.shard import Shard

__all__ = ["ALONE", "Launch", "Team", "join_team"]

T = TypeVar("T")

_PATIENCE = timedelta(days=30)
"""How long a process waits for another: filling a cache may take days. A process that dies is
noticed at once all the same, by its closed connections and by torchrun.
"""


@frozen
class Team:
    """This process among the ``world`` that train together; alone by default.

    Words between processes go through the processor's memory (gloo), whatever the device, so
    that agreeing on something never waits for a GPU.
    """

    rank: int = 0
    world: int = 1
    words: Any = field(default=None, repr=False)
    """The process group for words."""
    sharded: bool = False
    """Whether the model is split among the processes, as :mod:`llmattn.training.sharding` does."""

    @property
    def is_first(self) -> bool:
        """Whether this process prints, logs and saves."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """This process's part of a sequence that the team works through: every ``world``-th."""
        return slice(self.rank, None, self.world)

    def total(self, *numbers: float) -> list[float]:
        """The sums over all processes."""
        return self._reduce(numbers, dist.ReduceOp.SUM)

    def any(self, *wishes: bool) -> list[bool]:
        """For each wish, whether some process has it."""
        return [value > 0 for value in self._reduce(wishes, dist.ReduceOp.MAX)]

    def _reduce(self, numbers: Sequence[float], how: Any) -> list[float]:
        if self.world == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(values, how, group=self.words)
        return [float(value) for value in values]

    def from_first(self, make: Callable[[], T], for_others: Callable[[T], T] | None = None) -> T:
        """What the first process makes, in all of them; it travels as a pickle. ``for_others``
        makes of it what the others get.

        An LlmattnError of the first process ends the others too, without a word.
        """
        if self.world == 1:
            return make()
        parcel: list[Any] = [None, False]
        failure: LlmattnError | None = None
        if self.is_first:
            try:
                made = make()
                parcel = [for_others(made) if for_others else made, True]
            except LlmattnError as error:
                failure = error
        dist.broadcast_object_list(parcel, src=0, group=self.words)
        if failure is not None:
            raise failure
        if not parcel[1]:
            raise SystemExit(1)
        return made if self.is_first else cast(T, parcel[0])

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """``model`` so that its gradients become the mean over the processes."""
        if self.world == 1 or self.sharded:  # a split model does so by itself
            return model
        where = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=where)

    def keeps_gradients(self, model: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Context of the backward passes before the ``last``, which need no exchange."""
        if self.sharded:
            cast(Any, model).set_requires_gradient_sync(last)
        if last or not isinstance(model, DistributedDataParallel):
            return nullcontext()
        return model.no_sync()


ALONE = Team()


@contextmanager
def join_team(
    device: str, environ: Mapping[str, str] = os.environ, *, sharded: bool = False
) -> Iterator[tuple[Team, torch.device]]:
    """The team that torchrun's environment describes, and this process's device.

    With several GPUs each process of a machine takes the one of its LOCAL_RANK. ``sharded``: the
    model is to be split among the processes. Raises ConfigError for an environment or device that
    cannot be used.
    """
    shard = Shard.from_environment(environ)
    if shard.world == 1:
        if sharded:
            _explain_alone(Launch.from_environment(environ))
        yield ALONE, choose_device(device)
        return
    chosen = _local_device(choose_device(device), int(environ.get("LOCAL_RANK", "0")))
    if sharded:
        _check_sharding(chosen)
    backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
    # torchrun keeps its store when it starts processes anew, with the addresses of the old ones.
    attempt = f"llmattn/{environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{shard.world}"
    try:
        store, _, _ = next(rendezvous("env://", shard.rank, shard.world))
        dist.init_process_group(
            backend,
            store=dist.PrefixStore(attempt, store),  # type: ignore[attr-defined]
            rank=shard.rank,
            world_size=shard.world,
        )
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"The {shard.world} processes cannot reach each other ({error}): start them with "
            "torchrun, which sets MASTER_ADDR and MASTER_PORT."
        ) from None
    try:
        words = dist.new_group(backend="gloo", timeout=_PATIENCE)
        yield Team(shard.rank, shard.world, words, sharded), chosen
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise LlmattnError(
            f"Process {shard.rank + 1} of {shard.world} has lost another one, whose own message "
            "tells why it ended. Go on with --resume; with torchrun --max-restarts N the run goes "
            "on by itself."
        ) from error
    finally:
        dist.destroy_process_group()


def _explain_alone(launch: Launch) -> None:
    """``--shard`` with one process is a mistake, but for a run that has lost the others."""
    if not launch.name:
        raise ConfigError(
            "--shard splits the model among processes, and there is one: start several with "
            "torchrun --nproc-per-node N -m llmattn.train --shard, or leave --shard out."
        )
    warn("--shard: there is one process, which holds the whole model.")


def _check_sharding(device: torch.device) -> None:
    """Raise ConfigError if a model on ``device`` cannot be split."""
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(
            f"--shard is for processors and GPUs, not for {device.type}: leave it out."
        )
    from torch.distributed import fsdp  # takes a second to load

    if not hasattr(fsdp, "fully_shard"):
        raise ConfigError(
            f"--shard needs torch 2.6 or later, and this is {torch.__version__}: pip install -U "
            "torch, or leave --shard out."
        )


def _local_device(device: torch.device, local_rank: int) -> torch.device:
    """``cuda`` is the GPU of the local rank; a device with a number stays what it is."""
    if str(device) != "cuda":
        return device
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"There are {torch.cuda.device_count()} GPUs for process {local_rank + 1} of this "
            "machine: start as many with --nproc-per-node, or train with --device cpu."
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


@frozen
class Launch:
    """A start of torchrun. ``name``: of the run; ``agent``: of the process that starts ours."""

    name: str = ""
    agent: str = ""
    restarts: int = 0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Launch:
        """What torchrun says of itself; empty without it."""
        name = environ.get("TORCHELASTIC_RUN_ID", "")
        if not name:
            return cls()
        restarts = int(environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        return cls(name, f"{socket.gethostname()}/{os.getppid()}", restarts)

    def goes_on(self, earlier: Mapping[str, Any]) -> bool:
        """Whether this start continues the one that :meth:`to_dict` described.

        A name alone does not tell, since a person may use it again: either torchrun counts a
        restart, or it is the same agent, which starts all anew when machines come or go.
        """
        if not self.name or self.name != earlier.get("name"):
            return False
        same_agent = self.agent == earlier.get("agent")
        # Without --rdzv-id and --standalone every run has the name "none".
        return same_agent or (self.restarts > 0 and self.name != "none")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {"name": self.name, "agent": self.agent}
