"""
Your own storage: a class for each store, the file names of the archive.

Knows nothing of recordings, API or tasks.
"""

from __future__ import annotations

from airflow_provider_iinked.storage.base import Store, Upload
from airflow_provider_iinked.storage.layout import NO_RUN
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.object_info import ObjectIdentity, ObjectInfo
from airflow_provider_iinked.storage.registry import is_registered, register_store, store_class

__all__ = [
    "Lock",
    "ObjectIdentity",
    "ObjectInfo",
    "Store",
    "Upload",
    "console_url",
    "dataset_name",
    "open_store",
    "register_store",
]


def open_store(url: str, run_token: str | None = None) -> Store:
    """
    Open the store behind a URL afresh; nothing that it answers comes from a cache.

    Open it in the task's own thread (the storage's connection is looked up there); afterwards threads may share it.

    :param url: a checked destination, or the URL of an object.
    :param run_token: marks the temporary names of this run; None outside a Dag run.
    :return: the store.
    :raises InvalidArgumentError: when there is no store for the URL's scheme, or what it needs is not installed.
    :raises StorageError: when it cannot be opened.
    """
    return store_class(url.partition("://")[0])(url, run_token or NO_RUN)


def dataset_name(url: str) -> tuple[str, str]:
    """
    Name an object or a folder as OpenLineage's naming rules have it, without an Airflow connection id.

    :param url: its URL, such as ``abfs://conn_id@container/prefix/package/copy.mp4``.
    :return: namespace and name.
    """
    scheme = url.partition("://")[0]
    return (store_class(scheme) if is_registered(scheme) else Store).dataset_name(url)


def console_url(folder: str) -> str | None:
    """
    Name the page of a cloud console that shows a folder.

    :param folder: URL of the folder, such as ``s3://conn_id@bucket/prefix/package``.
    :return: the console's URL; None for what a browser cannot open.
    """
    scheme = folder.partition("://")[0]
    return store_class(scheme).console_url(folder) if is_registered(scheme) else None
