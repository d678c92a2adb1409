"""Errors of a store are named by the store's own code, with what to do, and never with a library's own text."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_iinked.storage.errors import ADVICE, NoSuchBucketError, storage_error, store_code


class ClientError(Exception):
    """As botocore raises it."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__("SECRET")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class HttpResponseError(Exception):
    """As Azure's SDK raises it."""

    def __init__(self, code: str) -> None:
        super().__init__("SECRET")
        self.error_code, self.response = code, object()


class HttpError(Exception):
    """As gcsfs raises it."""

    def __init__(self, code: int | str) -> None:
        super().__init__("SECRET")
        self.code = code


def named(name: str, base: type[Exception] = Exception) -> Exception:
    """An error of a library that has a name and no code."""
    return type(name, (base,), {})("SECRET")


def caused_by(error: Exception) -> Exception:
    """What s3fs and others make of an error."""
    wrapped = OSError("SECRET")
    wrapped.__cause__ = error
    return wrapped


@pytest.mark.parametrize(
    ("error", "shown", "advice"),
    [
        (ClientError("AccessDenied", 403), "AccessDenied", "rights that docs/stores.md lists"),
        (ClientError("ExpiredToken", 400), "ExpiredToken", "renew it"),
        (ClientError("InvalidAccessKeyId", 403), "InvalidAccessKeyId", "check the key"),
        (ClientError("SignatureDoesNotMatch", 403), "SignatureDoesNotMatch", "check the key"),
        (ClientError("RequestTimeTooSkewed", 403), "RequestTimeTooSkewed", "clock"),
        (ClientError("NoSuchBucket", 404), "NoSuchBucket", "correct its name"),
        (ClientError("InvalidObjectState", 403), "InvalidObjectState", "leave *.json out"),
        (ClientError("KMS.DisabledException", 400), "KMS.DisabledException", "right to use the bucket's key"),
        (ClientError("SlowDown", 503), "SlowDown", "try again later"),
        (ClientError("403", 403), "Forbidden", "check the key"),
        (ClientError("400", 400), "BadRequest", "region_name"),
        (ClientError("301", 301), "PermanentRedirect", "region_name"),
        (caused_by(ClientError("AccessDenied", 403)), "AccessDenied", "rights"),
        (HttpResponseError("AuthenticationFailed"), "AuthenticationFailed", "check key"),
        (HttpResponseError("AuthorizationFailure"), "AuthorizationFailure", "firewall"),
        (HttpResponseError("AuthorizationPermissionMismatch"), "AuthorizationPermissionMismatch", "rights"),
        (HttpResponseError("ContainerNotFound"), "ContainerNotFound", "correct its name"),
        (HttpResponseError("BlobArchived"), "BlobArchived", "leave *.json out"),
        (HttpResponseError("ServerBusy"), "ServerBusy", "try again later"),
        (HttpError(401), "Unauthorized", "check the key"),
        (HttpError("403"), "Forbidden", "check the key"),
        (HttpError(429), "TooManyRequests", "try again later"),
        (OSError("Forbidden: https://SECRET"), "Forbidden", "rights"),
        (NoSuchBucketError(), "NoSuchBucket", "correct its name"),
        (named("RefreshError"), "RefreshError", "check the key"),
        (named("PermissionDenied"), "PermissionDenied", "login"),
        (named("HostKeyNotVerifiable"), "HostKeyNotVerifiable", "host_key"),
        (named("SFTPPermissionDenied"), "SFTPPermissionDenied", "below this path"),
        (named("SFTPNoSpaceOnFilesystem"), "SFTPNoSpaceOnFilesystem", "Make room"),
        (named("NoCredentialsError"), "NoCredentialsError", "check the key"),
        (named("EndpointConnectionError"), "EndpointConnectionError", "could not be reached"),
        (named("SomethingElse"), "SomethingElse", "Check the storage and its connection"),
    ],
    ids=lambda value: value if isinstance(value, str) and value[0].isupper() else "",
)
def test_an_error_says_the_code_and_what_to_do(error: Exception, shown: str, advice: str) -> None:
    text = str(storage_error("read", "s3://conn@bucket/p/v.mp4", error))

    assert text.startswith(f"Could not read s3://conn@bucket/p/v.mp4 ({shown})")
    assert advice in text
    assert text.endswith("clearing the task is safe.")
    assert "SECRET" not in text


@pytest.mark.parametrize("code", [None, "", "has spaces", "<html>", "x" * 81, 7])
def test_what_is_no_code_is_not_shown(code: Any) -> None:
    error = HttpResponseError("AccessDenied")
    error.error_code = code
    assert store_code(error) is None


def test_each_advice_is_a_sentence() -> None:
    assert [text for text in ADVICE.values() if not text.endswith(".") or not text[0].isupper()] == []
