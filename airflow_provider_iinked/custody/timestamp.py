"""
Time stamps of seals (RFC 3161): asking an authority for one, and verifying one years later.

``rfc3161_client`` and ``requests`` are imported when they are needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_provider_iinked.custody.errors import TimestampError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SHA256_OID: Final = "2.16.840.1.101.3.4.2.1"
_GRANTED: Final = 0
_MAX_ANSWER: Final = 1 << 20
_INSTALL: Final = "Install airflow-provider-iinked[custody] for time stamps."


def timestamp_authority(url: str, timeout: float = 30.0) -> Callable[[bytes], bytes]:
    """
    Return what asks an authority for time stamps.

    :param url: the authority's URL.
    :param timeout: seconds to connect, and to wait for data.
    :return: takes the bytes to be stamped, returns the authority's answer (DER), checked against the request.
    :raises TimestampError: when the URL is not http or https.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise TimestampError("The time stamp authority's URL must begin with https:// or http://. Nothing was sent.")

    def post(request: bytes) -> bytes:
        import requests

        host = urlsplit(url).hostname
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        try:
            with requests.post(
                url, data=request, headers=headers, timeout=timeout, allow_redirects=False, stream=True
            ) as answer:
                status, body = answer.status_code, answer.raw.read(_MAX_ANSWER, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise TimestampError(
                f"The time stamp authority {host} was not reached ({type(error).__name__}). Nothing was sealed; "
                "seal again later."
            ) from None
        if status != 200:
            raise TimestampError(f"The time stamp authority {host} answered {status}. Nothing was sealed.")
        return bytes(body)

    return lambda data: request_timestamp(data, post)


def request_timestamp(data: bytes, post: Callable[[bytes], bytes]) -> bytes:
    """
    Ask for a time stamp and check that the answer is one of these bytes and of this request.

    :param data: the bytes to be stamped.
    :param post: sends the request (DER) and returns the answer (DER).
    :return: the answer.
    :raises TimestampError: when it was not granted, or is of other bytes or of another request.
    """
    client = _client()
    request = (
        client.TimestampRequestBuilder()
        .data(data)
        .hash_algorithm(client.HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    answer = post(request.as_bytes())
    stamp = _decode(answer)
    _check_imprint(stamp, data)
    if stamp.tst_info.nonce != request.nonce:
        raise TimestampError("The time stamp authority answered another request. Nothing was sealed.")
    return answer


def read_timestamp(answer: bytes, data: bytes, roots: Sequence[Certificate] = ()) -> datetime:
    """
    Verify a time stamp.

    The authority's certificate must have been valid at the time that the stamp names; it may have ended since.

    :param answer: the authority's answer (DER).
    :param data: the bytes that were stamped.
    :param roots: certificates of trusted authorities; without any, only the stamped digest is compared, which nobody's
        signature then vouches for.
    :return: the time that it names.
    :raises TimestampError: when it is malformed, is of other bytes, or no trusted authority made it.
    """
    client = _client()
    stamp = _decode(answer)
    _check_imprint(stamp, data)
    if roots:
        builder = client.VerifierBuilder()
        for root in roots:
            builder = builder.add_root_certificate(root)
        try:
            builder.build().verify(stamp, hashlib.sha256(data).digest())
        except (client.VerificationError, ValueError) as error:
            raise TimestampError(f"no trusted authority made it: {error}") from None
    time: datetime = stamp.tst_info.gen_time
    return time


def load_certificates(pem: bytes) -> list[Certificate]:
    """
    Read certificates of time stamp authorities.

    :param pem: PEM text with one or several.
    :return: the certificates.
    :raises TimestampError: when there is none or one cannot be read.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(pem)
    except ValueError:
        raise TimestampError("The time stamp authority's certificate cannot be read. Give it in PEM form.") from None


def _client() -> Any:
    try:
        import rfc3161_client
    except ImportError:
        raise TimestampError(_INSTALL) from None
    return rfc3161_client


def _decode(answer: bytes) -> Any:
    try:
        stamp = _client().decode_timestamp_response(answer)
        status = int(stamp.status)
        if status == _GRANTED:
            _ = stamp.tst_info.message_imprint.message, stamp.tst_info.gen_time
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error)[:200]
        raise TimestampError(f"it is not an answer of a time stamp authority, or cannot be read: {reason}") from None
    if status != _GRANTED:
        raise TimestampError(f"the time stamp authority refused the request (status {status})")
    return stamp


def _check_imprint(stamp: Any, data: bytes) -> None:
    imprint = stamp.tst_info.message_imprint
    if imprint.hash_algorithm.dotted_string != _SHA256_OID or imprint.message != hashlib.sha256(data).digest():
        raise TimestampError("it is a time stamp of other bytes")
