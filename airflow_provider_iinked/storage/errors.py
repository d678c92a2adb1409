"""Errors of stores in our own words, with the store's own code: a library's text may hold credentials."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from airflow_provider_iinked.exceptions import StorageError, reason_of

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{2,79}")
_KEY = "Check the key in the connection."
_CLOCK = "The clock of the worker and that of the store differ; set the worker's clock."
_RIGHTS = "Give the connection's user the rights that docs/stores.md lists, on the bucket and below this prefix."
_BUCKET = "Create the bucket or container, or correct its name in the URL."
_COLD = "The object is in cold storage; restore it, and leave *.json out of such rules."
_LATER = "The store is busy; try again later."

ADVICE: Final[Mapping[str, str]] = {
    # S3 and what speaks like it
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "ExpiredToken": "The connection's token has expired; renew it, or use a role.",
    "InvalidToken": "The connection's token is not valid; renew it, or use a role.",
    "InvalidAccessKeyId": "The store does not know the access key; " + _KEY.lower(),
    "SignatureDoesNotMatch": "The secret key is not the one of this access key; " + _KEY.lower(),
    "RequestTimeTooSkewed": _CLOCK,
    "NoSuchBucket": _BUCKET,
    "InvalidObjectState": _COLD,
    "PermanentRedirect": "The bucket lies in another region; set region_name in the connection.",
    "AuthorizationHeaderMalformed": "The bucket lies in another region; set region_name in the connection.",
    "SlowDown": _LATER,
    "ServiceUnavailable": _LATER,
    # Azure
    "AuthenticationFailed": "The store refuses the key or signature; " + _KEY.lower(),
    "AuthorizationFailure": "The store refuses this network address or key; check the account's firewall.",
    "AuthorizationPermissionMismatch": _RIGHTS,
    "InsufficientAccountPermissions": _RIGHTS,
    "ContainerNotFound": _BUCKET,
    "BlobArchived": _COLD,
    "ServerBusy": _LATER,
    # Google
    "Unauthorized": "The store refuses the credentials; " + _KEY.lower(),
    "Forbidden": _RIGHTS,
    "TooManyRequests": _LATER,
}
"""What to do about a code. Codes that are not here are named without advice."""

_HTTP: Final[Mapping[int, str]] = {401: "Unauthorized", 403: "Forbidden", 429: "TooManyRequests"}


def store_code(error: BaseException | None) -> str | None:
    """
    Find the code that a store answered, in an error of its library or in what caused that.

    :param error: the error.
    :return: such as ``AccessDenied``; None where there is none.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if code := _own_code(error):
            return code
        error = error.__cause__ or error.__context__
    return None


def _own_code(error: BaseException) -> str | None:
    response = getattr(error, "response", None)  # botocore
    if isinstance(response, Mapping):
        return _clean(response.get("Error", {}).get("Code"))
    if code := _clean(getattr(error, "error_code", None)):  # azure
        return code
    number = getattr(error, "code", None)  # gcsfs
    if isinstance(number, (int, str)) and str(number).isdecimal() and int(number) in _HTTP:
        return _HTTP[int(number)]
    if type(error) is OSError and str(error).startswith("Forbidden: "):  # gcsfs again, its 403
        return "Forbidden"
    return None


def _clean(code: object) -> str | None:
    text = str(getattr(code, "value", code))
    return text if code is not None and _CODE.fullmatch(text) else None


@contextlib.contextmanager
def translate_errors(act: str, url: str) -> Iterator[None]:
    """
    Turn whatever a file system raises into one error of ours, which names the store's code and what to do about it.

    :param act: what was tried, such as ``read``.
    :param url: what it was tried on.
    :raises StorageError: for any exception but ``FileExistsError``, which a caller handles.
    """
    try:
        yield
    except (StorageError, FileExistsError):
        raise
    except Exception as error:
        raise storage_error(act, url, error) from None


def storage_error(act: str, url: str, error: BaseException) -> StorageError:
    """
    Put the error of a failed act together.

    :param act: what was tried, such as ``read``.
    :param url: what it was tried on.
    :param error: what the library raised.
    :return: the error to raise.
    """
    code = store_code(error)
    advice = ADVICE.get(code or "", "Check the storage and its connection.").rstrip(".")
    return StorageError(f"Could not {act} {url} ({code or reason_of(error)}). {advice}; clearing the task is safe.")
