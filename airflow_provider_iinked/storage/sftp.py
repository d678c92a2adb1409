"""SFTP: a temporary name, then the protocol's plain rename, which refuses a name that is taken."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_iinked.storage.fsspec_store import FsspecStore


class SftpStore(FsspecStore):
    """A server that speaks SFTP, through sshfs."""

    extra: ClassVar[str | None] = "sftp"
