"""Servers for tests, each a context manager on loopback: processes, GCS, SFTP, odd S3 stores, Swift, a slow wire."""

from __future__ import annotations

from tests.servers.processes import bytes_sent, free_port, serving

__all__ = ["bytes_sent", "free_port", "serving"]
