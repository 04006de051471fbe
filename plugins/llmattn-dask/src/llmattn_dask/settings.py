"""Settings of the executor `dask`."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen, validators
from llmattn.plugin import setting

__all__ = ["DaskSettings"]


@frozen
class DaskSettings:
    """Where the scheduler is, and how it is reached. Nothing of it can change a result."""

    address: str = setting(
        env="DASK_SCHEDULER_ADDRESS", help="of the scheduler, such as tcp://host:8786 or tls://..."
    )
    timeout: float = setting(
        30.0,
        help="seconds to wait for the scheduler, and then for a first worker",
        validator=validators.gt(0),
    )
    tls_ca_file: Path | None = setting(
        None, help="for tls://: the authority's certificate; else Dask's own configuration"
    )
    tls_cert: Path | None = setting(None, help="for tls://: this side's certificate")
    tls_key: Path | None = setting(None, help="for tls://: the key of that certificate")
