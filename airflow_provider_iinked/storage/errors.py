"""Errors of stores in our own words, with the store's own code: a library's text may hold credentials."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from airflow_provider_iinked.exceptions import StorageError, reason_of

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9.]{2,79}")
_KEY = "Check the key in the connection."
_CLOCK = "The clock of the worker and that of the store differ; set the worker's clock."
_RIGHTS = "Give the connection's user the rights that docs/stores.md lists, on the bucket and below this prefix."
_BUCKET = "Create the bucket or container, or correct its name in the URL."
_COLD = "The object is in cold storage; restore it, and leave *.json out of such rules."
_LATER = "The store is busy; try again later."
_REGION = "The bucket lies in another region; set region_name in the connection."
_EXPIRED = "The connection's token has expired; renew it, or use a role."
_KMS = "Give the connection's user the right to use the bucket's key, and see that the key is enabled."
_DAMAGED = "The bytes were damaged on their way, and the store took nothing."
_FULL = "Make room in the store, or raise its quota."
_FIREWALL = "The store refuses this network address or key; check the account's firewall."
_WORM = "A retention rule of the store keeps the object as it is."
_LOGIN = "The server refuses the login; check login, password and key_file in the connection."
_FOLDER = "Give the user or login the right to read and write below this path."
_CONNECT = "The store could not be reached; check host or endpoint in the connection, and the network."

ADVICE: Final[Mapping[str, str]] = {
    # S3 and what speaks like it
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "AccountProblem": _RIGHTS,
    "ExpiredToken": _EXPIRED,
    "InvalidToken": "The connection's token is not valid; renew it, or use a role.",
    "TokenRefreshRequired": _EXPIRED,
    "InvalidAccessKeyId": "The store does not know the access key; " + _KEY.lower(),
    "SignatureDoesNotMatch": "The secret key is not the one of this access key; " + _KEY.lower(),
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "InvalidObjectState": _COLD,
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "MovedPermanently": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "BadRequest": "Check region_name, endpoint_url and the token in the connection.",
    "BadDigest": _DAMAGED,
    "InvalidDigest": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "QuotaExceeded": _FULL,
    "KMS.DisabledException": _KMS,
    "KMS.NotFoundException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "SlowDown": _LATER,
    "InternalError": _LATER,
    "OperationAborted": _LATER,
    "RequestTimeout": _LATER,
    "ServiceUnavailable": _LATER,
    "NoCredentialsError": "The connection names no key and no role; " + _KEY.lower(),
    "PartialCredentialsError": "The connection names half a key; " + _KEY.lower(),
    "EndpointConnectionError": _CONNECT,
    "ConnectTimeoutError": _CONNECT,
    "SSLError": "The store's certificate is not trusted; name its CA bundle in `verify` of the connection.",
    # Azure
    "AuthenticationFailed": "The store refuses the key or signature; check key, token and the worker's clock.",
    "NoAuthenticationInformation": "The store got no key; " + _KEY.lower(),
    "InvalidAuthenticationInfo": "The store refuses the key or token; " + _KEY.lower(),
    "KeyBasedAuthenticationNotPermitted": "The account takes no keys; use a role or a user delegation SAS.",
    "AuthorizationFailure": _FIREWALL,
    "AuthorizationSourceIPMismatch": _FIREWALL,
    "AuthorizationPermissionMismatch": _RIGHTS,
    "AuthorizationResourceTypeMismatch": _RIGHTS,
    "InsufficientAccountPermissions": _RIGHTS,
    "AccountIsDisabled": "The storage account is disabled; ask its owner.",
    "ContainerNotFound": _BUCKET,
    "ContainerBeingDeleted": _BUCKET,
    "BlobArchived": _COLD,
    "BlobBeingRehydrated": "The object is on its way out of cold storage; try again later.",
    "BlobImmutableDueToPolicy": _WORM,
    "ServerBusy": _LATER,
    "OperationTimedOut": _LATER,
    "ServiceRequestError": _CONNECT,
    # Google
    "Unauthorized": "The store refuses the credentials; " + _KEY.lower(),
    "Forbidden": "The store refuses the key, or it lacks rights that docs/stores.md lists; " + _KEY.lower(),
    "TooManyRequests": _LATER,
    "RefreshError": "Google refuses the credentials, or the worker's clock is wrong; " + _KEY.lower(),
    "DefaultCredentialsError": "The connection names no credentials; " + _KEY.lower(),
    "ClientConnectorError": _CONNECT,
    # SFTP
    "PermissionDenied": _LOGIN,
    "HostKeyNotVerifiable": "The server's host key is not known; put it into host_key of the connection.",
    "KeyImportError": "The private key cannot be read; check key_file or private_key in the connection.",
    "SFTPPermissionDenied": _FOLDER,
    "SFTPWriteProtect": _FOLDER,
    "SFTPNoSpaceOnFilesystem": _FULL,
    "SFTPQuotaExceeded": _FULL,
    "SFTPConnectionLost": _CONNECT,
    "SFTPNoConnection": _CONNECT,
    "ConnectionLost": _CONNECT,
    "PermissionError": _FOLDER,
    "ConnectionRefusedError": _CONNECT,
}
"""What to do about a code, or about a library's error that has none. What is not here is named without advice."""

_HTTP: Final[Mapping[int, str]] = {
    301: "PermanentRedirect",
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}
"""Codes for answers without one, such as those to a HEAD request."""


class NoSuchBucketError(Exception):
    """The bucket does not exist, where a library only says that something was not found."""

    error_code = "NoSuchBucket"


def store_code(error: BaseException | None) -> str | None:
    """
    Find the code that a store answered, in an error of its library or in what caused that.

    :param error: the error.
    :return: such as ``AccessDenied``; None where there is none.
    """
    return next((code for each in _chain(error) if (code := _own_code(each))), None)


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error, what caused it, and so on."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _own_code(error: BaseException) -> str | None:
    response = getattr(error, "response", None)  # botocore
    if isinstance(response, Mapping):
        code = response.get("Error", {}).get("Code")
        return _clean(code) or _of_status(code)
    if code := _clean(getattr(error, "error_code", None)):  # azure
        return code
    if code := _of_status(getattr(error, "code", None)):  # gcsfs
        return code
    if type(error) is OSError and str(error).startswith("Forbidden: "):  # gcsfs again, its 403
        return "Forbidden"
    return None


def _of_status(number: object) -> str | None:
    return _HTTP.get(int(str(number))) if str(number).isdecimal() else None


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
    return StorageError(f"Could not {act} {url} ({reason_of_store(error)}). {advice_on(error)}")


def reason_of_store(error: BaseException) -> str:
    """
    Name an error by the store's own code, where it has one.

    :param error: what the library raised.
    :return: the code, or the error's type.
    """
    return store_code(error) or reason_of(error)


def advice_on(error: BaseException) -> str:
    """
    Say what to do about an error of a store.

    :param error: what the library raised.
    :return: a sentence; clearing the task is always safe.
    """
    code = store_code(error)
    # Without a code the innermost error that is known says most: sshfs wraps a refused login into a PermissionError.
    names = [code] if code else [type(each).__name__ for each in reversed(_chain(error))]
    advice = next((ADVICE[name] for name in names if name in ADVICE), "Check the storage and its connection.")
    return f"{advice.rstrip('.')}; clearing the task is safe."
