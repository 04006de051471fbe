"""Whether the machines of a cluster can do what they are to: asked before anything is sent."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from llmattn.plugin import ConfigError, warn

from llmattn_dask.settings import DaskSettings
from llmattn_dask.worker import mismatch

__all__ = ["check_cluster"]

_MATTER = ("torch", "numpy")
"""Packages of which another version may give other last digits."""


def check_cluster(client: Any, settings: DaskSettings) -> None:
    """Raise ConfigError for a scheduler without workers, or one of them without this very llmattn;
    warn of what may make results differ.

    The questions are functions of Python's own library, so that who has nothing else can answer.
    """
    try:
        client.wait_for_workers(1, timeout=settings.timeout)
    except TimeoutError:
        raise ConfigError(
            f"dask: the scheduler at {settings.address} has had no worker for "
            f"{settings.timeout:g} s: start some (dask worker {settings.address} --nthreads 1), or "
            "wait longer with -o dask.timeout=..."
        ) from None
    for name in ("llmattn-core", "llmattn-dask"):
        here = metadata.version(name)
        there = _versions(client, name)
        for who, version in there.items():
            if version is None:
                raise ConfigError(
                    f"dask: {who} has no {name}: pip install llmattn-dask=={here} there, into the "
                    "Python that runs it, and start it anew."
                )
            if wrong := mismatch(version, here).replace("llmattn-core", name):
                raise ConfigError(f"dask: {who} {wrong}")
    _warn_of_others(client)
    threads = {
        address: worker["nthreads"]
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()
    }
    if many := [address for address, number in threads.items() if number > 1]:
        warn(
            f"dask: {len(many)} of {len(threads)} workers take several items at once ({many[0]}: "
            f"{threads[many[0]]}), and llmattn trains one at a time in a process: the others wait. "
            "Start them with --nthreads 1 --nworkers N."
        )


def _versions(client: Any, name: str) -> Mapping[str, str | None]:
    """The version of a distribution on each machine, None where there is none."""
    found = client.run(metadata.version, name, on_error="return")
    there = {
        f"the worker {address}": version if isinstance(version, str) else None
        for address, version in found.items()
    }
    try:
        there["the scheduler"] = str(client.run_on_scheduler(metadata.version, name))
    except metadata.PackageNotFoundError:
        there["the scheduler"] = None
    return there


def _warn_of_others(client: Any) -> None:
    others = []
    for name in _MATTER:
        here = metadata.version(name)
        others += [
            f"{name} {version} at {who}"
            for who, version in _versions(client, name).items()
            if version not in (here, None)
        ]
    python = platform.python_version()
    found = client.run(platform.python_version)
    others += [
        f"Python {version} at the worker {who}"
        for who, version in found.items()
        if version != python
    ]
    if others:
        warn(
            f"dask: not all machines are alike ({', '.join(others[:3])}"
            f"{', ...' if len(others) > 3 else ''}), so last digits may differ from those here."
        )
