"""Errors of stores in our own words: a library's own text may hold credentials."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow_provider_iinked.exceptions import StorageError, reason_of


@contextlib.contextmanager
def translate_errors(act: str, url: str) -> Iterator[None]:
    """
    Turn whatever a file system raises into one error of ours.

    :param act: what was tried, such as ``read``.
    :param url: what it was tried on.
    :raises StorageError: for any exception but ``FileExistsError``, which a caller handles.
    """
    try:
        yield
    except (StorageError, FileExistsError):
        raise
    except Exception as error:
        raise StorageError(
            f"Could not {act} {url} ({reason_of(error)}). Check the storage and its connection; "
            "clearing the task is safe."
        ) from None
