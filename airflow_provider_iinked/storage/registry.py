"""
Which class serves which scheme. A class is imported when its scheme is used for the first time.

A scheme that is not here is refused by name: a store that nobody has looked into may overwrite, publish halves, or
answer from a cache. :func:`register_store` adds a store of your own.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING

from airflow_provider_iinked.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from airflow_provider_iinked.storage.base import Store

_PACKAGE = __name__.rpartition(".")[0]
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_CLASS = re.compile(r"[\w.]+:\w+")

_stores: dict[str, str | type[Store]] = {
    **dict.fromkeys(("file", "local"), f"{_PACKAGE}.local:LocalStore"),
    **dict.fromkeys(("s3", "s3a"), f"{_PACKAGE}.s3:S3Store"),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), f"{_PACKAGE}.azure:AzureStore"),
    **dict.fromkeys(("gs", "gcs"), f"{_PACKAGE}.gcs:GcsStore"),
    **dict.fromkeys(("sftp", "ssh"), f"{_PACKAGE}.sftp:SftpStore"),
}


def register_store(scheme: str, store: str | type[Store]) -> None:
    """
    Use a class for the URLs of a scheme, in this process.

    :param scheme: the scheme, in lower case, without ``://``.
    :param store: the class, or where to import it from when it is used, as ``"module:Class"``.
    :raises InvalidArgumentError: for a malformed scheme or class.
    """
    if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
        raise InvalidArgumentError(f"scheme must be text such as 'mystore', in lower case, not {scheme!r}.")
    if not isinstance(store, type) and not (isinstance(store, str) and _CLASS.fullmatch(store)):
        raise InvalidArgumentError(f"store must be a class, or text such as 'package.module:Class', not {store!r}.")
    _stores[scheme] = store


def is_registered(scheme: str) -> bool:
    """
    Tell whether a scheme has a store.

    :param scheme: the scheme.
    :return: True when it has.
    """
    return scheme in _stores


def schemes() -> list[str]:
    """
    Name the schemes that have a store.

    :return: the schemes, sorted.
    """
    return sorted(_stores)


def store_class(scheme: str) -> type[Store]:
    """
    Import the class of a scheme.

    :param scheme: the scheme.
    :return: the class.
    :raises InvalidArgumentError: when the scheme has none, or it cannot be imported.
    """
    store = _stores.get(scheme)
    if store is None:
        raise InvalidArgumentError(
            f"There is no store for {scheme}://. Nothing was sent. Use one of {', '.join(schemes())}, or register "
            "a store of your own (docs/stores.md)."
        )
    if isinstance(store, type):
        return store
    module, _, name = store.partition(":")
    try:
        found: type[Store] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidArgumentError(
            f"The store of {scheme}:// cannot be imported from {store} ({type(error).__name__}). Nothing was sent."
        ) from None
    return found
