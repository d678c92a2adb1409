"""How stores that speak S3 differ, as data; what is said of Ceph and Swift was seen on real servers of that version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any


class Condition(Enum):
    """What a store does with a condition such as `If-None-Match: *`."""

    HONOURED = "honoured"
    REFUSED = "refused"
    IGNORED = "ignored"


class Locking(Enum):
    """What a store does with the headers of Object Lock."""

    HONOURED = "honoured"
    REFUSED = "refused"
    IGNORED = "ignored"


class S3Error(Exception):
    """An answer that is an error, as S3 words it."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


NOT_FOUND_LOCK = (
    404,
    "ObjectLockConfigurationNotFoundError",
    "Object Lock configuration does not exist for this bucket",
)

# Errors that a test can ask for, with the status that S3 gives them.
STATUSES = {
    "PermanentRedirect": 301,
    "TemporaryRedirect": 307,
    "AuthorizationHeaderMalformed": 400,
    "AccessDenied": 403,
    "ExpiredToken": 400,
    "InvalidAccessKeyId": 403,
    "SignatureDoesNotMatch": 403,
    "RequestTimeTooSkewed": 403,
    "InvalidObjectState": 403,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "ConditionalRequestConflict": 409,
    "PreconditionFailed": 412,
    "InternalError": 500,
    "NotImplemented": 501,
    "SlowDown": 503,
    "ServiceUnavailable": 503,
}


@dataclass(frozen=True)
class StoreTraits:
    """What one kind of store does; `but()` gives the same store with a difference.

    :param put_condition: `If-None-Match: *` on PutObject, in a bucket without versions.
    :param put_condition_versioned: the same in a bucket with versions.
    :param complete_condition: the same on CompleteMultipartUpload.
    :param copy_condition: the same on CopyObject.
    :param delete_condition: `If-Match` on DeleteObject.
    :param complete_taken: status, code and message when a completion's condition does not hold.
    :param versioned: whether a new bucket keeps versions.
    :param trailer: status, code and message for an upload whose checksum comes behind it (`aws-chunked`); None: taken.
    :param verifies_md5: a wrong Content-MD5 is refused.
    :param verifies_checksums: a wrong `x-amz-checksum-*`, in a header or behind the upload, is refused.
    :param verifies_sha256: a body that is not what `x-amz-content-sha256` says is refused.
    :param locking: headers of Object Lock.
    :param locks_uploads: a lock that CreateMultipartUpload names holds for the object; False: it is dropped.
    :param shows_locks: HeadObject and GetObjectRetention show the lock.
    :param lock_seconds_lost: the lock that is kept ends so many seconds before the one asked for.
    :param lock_mode_kept: the mode that is kept, whatever was asked for.
    :param lock_needs_checksum: an upload with a lock needs Content-MD5 or a checksum.
    :param repeats_completion: the same completion again is answered 200.
    :param repeats_any_completion: so is one of an upload that never was, where a multipart object lies under the name.
    :param completion_has_etag: the first answer to a completion names the ETag.
    :param min_part_size: bytes that each part but the last must have.
    :param latency: seconds before each answer.
    """

    name: str
    put_condition: Condition = Condition.HONOURED
    put_condition_versioned: Condition = Condition.HONOURED
    complete_condition: Condition = Condition.HONOURED
    copy_condition: Condition = Condition.HONOURED
    delete_condition: Condition = Condition.HONOURED
    complete_taken: tuple[int, str, str] = (
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    )
    versioned: bool = False
    trailer: tuple[int, str, str] | None = None
    verifies_md5: bool = True
    verifies_checksums: bool = True
    verifies_sha256: bool = True
    locking: Locking = Locking.HONOURED
    locks_uploads: bool = True
    shows_locks: bool = True
    lock_seconds_lost: float = 0
    lock_mode_kept: str | None = None
    lock_needs_checksum: bool = False
    repeats_completion: bool = True
    repeats_any_completion: bool = False
    completion_has_etag: bool = True
    min_part_size: int = 5 * 1024 * 1024
    latency: float = 0

    def but(self, **changes: Any) -> StoreTraits:
        """The same store with some traits changed."""
        return replace(self, **changes)


S3 = StoreTraits("s3", lock_needs_checksum=True)

# Read in MinIO's source, not run: PutObject, CopyObject and CompleteMultipartUpload check conditions, DeleteObject
# looks at none; a completed upload is no longer known.
MINIO = StoreTraits("minio", delete_condition=Condition.IGNORED, repeats_completion=False)

# Seen on Ceph RGW 16.2.15 (Debian 12).
CEPH_RGW = StoreTraits(
    "ceph-rgw",
    put_condition_versioned=Condition.IGNORED,
    complete_condition=Condition.IGNORED,
    copy_condition=Condition.IGNORED,
    delete_condition=Condition.IGNORED,
    trailer=(411, "MissingContentLength", ""),
    verifies_checksums=False,
    locks_uploads=False,
    repeats_any_completion=True,
    completion_has_etag=False,
)

# Seen on Swift 2.30.1 with s3api (Debian 12).
SWIFT = StoreTraits(
    "swift",
    put_condition=Condition.REFUSED,
    put_condition_versioned=Condition.REFUSED,
    copy_condition=Condition.REFUSED,
    complete_taken=(412, "InvalidRequest", "Invalid Request."),
    trailer=(501, "NotImplemented", "Transfering payloads in multiple chunks using aws-chunked is not supported."),
    verifies_checksums=False,
    locking=Locking.IGNORED,
    shows_locks=False,
)

# A store that takes the headers of a lock with 200, and locks nothing.
LOCK_IGNORED = StoreTraits("lock-ignored", locking=Locking.IGNORED, shows_locks=False)

PRESETS = (S3, MINIO, CEPH_RGW, SWIFT, LOCK_IGNORED)
