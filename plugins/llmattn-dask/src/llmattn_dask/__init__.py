"""A Dask cluster as llmattn's executor. Importing this imports no dask."""

from __future__ import annotations

from llmattn.plugin import ExecutorRegistry, hookimpl, needs_api

from llmattn_dask.settings import DaskSettings

needs_api(1, 1)


@hookimpl
def llmattn_register_executors(registry: ExecutorRegistry) -> None:
    registry.add(
        "dask",
        "llmattn_dask.executor:DaskExecutor",
        DaskSettings,
        "the workers of a Dask cluster, on other machines",
    )
