"""Copying one package's recordings into the company's storage: what to copy, what is there, publication."""

from __future__ import annotations

from airflow_provider_iinked.archive.order import ArchiveOrder
from airflow_provider_iinked.archive.run import archive_videos

__all__ = ["ArchiveOrder", "archive_videos"]
