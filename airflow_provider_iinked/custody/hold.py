"""
A package's legal hold: an object in its folder of the archive. While it is there, nothing of the package is deleted.

Whatever lies under that name counts, also what cannot be read: somebody wanted the package to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from airflow_provider_iinked.exceptions import LegalHoldError
from airflow_provider_iinked.storage import Store
from airflow_provider_iinked.storage.layout import Layout


def check_not_held(open_store: Callable[[str], Store], folders: Iterable[str]) -> None:
    """
    Refuse to delete anything of a package that is on hold.

    :param open_store: gives the opened store of a URL, without caches.
    :param folders: the package's folders, one in each destination.
    :raises LegalHoldError: when there is a hold in one of them.
    :raises StorageError: when a folder cannot be read; nothing may be deleted then.
    """
    for folder in folders:
        url = Layout(folder).hold()
        exists, hold = open_store(url).read_json(url)
        if exists:
            reason = hold.get("reason") if isinstance(hold, dict) else None
            said = f": {str(reason)[:200]}" if reason else ""
            raise LegalHoldError(
                f"kept on the platform: its package is on legal hold{said} ({url}). Release the hold first"
            )
