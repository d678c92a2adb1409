"""What S3 answers: conditions, missing objects, ETags. Pure."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from airflow_provider_iinked.storage.errors import store_code
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.object_info import ObjectInfo, read_info

IF_FREE: Final = {"IfNoneMatch": "*"}
CHECKSUMS: Final = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256")
"""Checksums that the SDK sends along with a part; the completion has to repeat them."""
_MD5 = re.compile(r"[0-9a-f]{32}")


class Condition(Enum):
    """What a store does with the condition that a name must be free."""

    UNKNOWN = "unknown"
    HONOURED = "honoured"
    REFUSED = "refused"
    IGNORED = "ignored"


def content_type(url: str) -> str:
    """
    Guess a content type by the name.

    :param url: the object.
    :return: the type.
    """
    return mimetypes.guess_type(url)[0] or "application/octet-stream"


def status_of(error: BaseException) -> int | None:
    """
    Find the HTTP status that S3 answered; s3fs keeps the answer as the cause.

    :param error: the error.
    :return: the status; None where there was no answer.
    """
    for candidate in (error, error.__cause__, error.__context__):
        response = getattr(candidate, "response", None)
        if isinstance(response, Mapping):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status if isinstance(status, int) else None
    return None


def is_missing(error: BaseException) -> bool:
    """
    Tell whether an error says that the object does not exist.

    :param error: the error.
    :return: False for a bucket that does not exist, which is another matter.
    """
    if store_code(error) == "NoSuchBucket":
        return False
    return status_of(error) == 404 or isinstance(error, FileNotFoundError)


def is_taken(error: BaseException) -> bool:
    """
    Tell whether an error says that the name is taken.

    :param error: the error.
    :return: True for a condition that did not hold, however the store words it.
    """
    return status_of(error) == 412 or isinstance(error, FileExistsError)


def multipart_etag(parts: Sequence[Mapping[str, Any]]) -> str:
    """
    Compute the ETag that S3 gives to an object of several parts.

    :param parts: its parts, each with its ``ETag``.
    :return: the ETag; empty where those of the parts are no MD5, as under a KMS key.
    """
    etags = [str(part["ETag"]).strip('"') for part in parts]
    if not all(map(_MD5.fullmatch, etags)):
        return ""
    whole = hashlib.md5(b"".join(map(bytes.fromhex, etags)), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(etags)}"


def info_of(answer: Mapping[str, Any], size: int) -> ObjectInfo:
    """
    Read what S3 says about an object, in the answer to a look or to a write.

    :param answer: the answer.
    :param size: the object's bytes.
    :return: what we make of it.
    """
    return read_info({**{name: answer.get(name) for name in ("ETag", "VersionId", "LastModified")}, "size": size})


def lock_headers(lock: Lock | None) -> dict[str, Any]:
    """
    Spell a lock as the SDK does.

    :param lock: the lock, or None.
    :return: arguments of a write; none without a lock.
    """
    if lock is None:
        return {}
    return {"ObjectLockMode": lock.mode, "ObjectLockRetainUntilDate": lock.retain_until}
