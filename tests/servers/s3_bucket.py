"""What lies in one bucket of the small S3 server, and the rules under which it changes; no HTTP here."""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.servers.s3_traits import NOT_FOUND_LOCK, Condition, Locking, S3Error, StoreTraits

PRECONDITION_FAILED = (412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Lock:
    """Until when, and in which mode (COMPLIANCE or GOVERNANCE), a version may not be deleted."""

    mode: str
    until: datetime


@dataclass
class Version:
    """One version of an object, or a marker that it was deleted."""

    data: bytes
    etag: str
    headers: dict[str, str] = field(default_factory=dict)
    version_id: str = "null"
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    lock: Lock | None = None
    deleted: bool = False
    upload_id: str = ""

    @property
    def cold(self) -> bool:
        """Whether the bytes must be restored before they can be read."""
        return self.headers.get("x-amz-storage-class") in ("GLACIER", "DEEP_ARCHIVE")


@dataclass
class Upload:
    """A multipart upload that is open."""

    key: str
    upload_id: str
    headers: dict[str, str]
    lock: Lock | None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    parts: dict[int, Version] = field(default_factory=dict)


class Bucket:
    """One bucket under the rules of a kind of store; each act is whole, whichever threads ask."""

    def __init__(self, name: str, traits: StoreTraits, *, locks: bool = False) -> None:
        self.name, self.traits = name, traits
        self.locks = locks and traits.locking is Locking.HONOURED
        self.versioned = traits.versioned or self.locks
        self.created = datetime.now(UTC)
        self.default_lock: tuple[str, timedelta] | None = None
        self.uploads: dict[str, Upload] = {}
        self._objects: dict[str, list[Version]] = {}
        self._completed: dict[str, Version] = {}
        self._mutex = threading.RLock()

    # --- reading

    def get(self, key: str, version_id: str | None = None) -> Version:
        """The newest version of an object, or the one named; NoSuchKey or NoSuchVersion where there is none."""
        with self._mutex:
            versions = self._objects.get(key, [])
            if version_id is None:
                if versions and not versions[-1].deleted:
                    return versions[-1]
                raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
            for version in versions:
                if version.version_id == version_id:
                    return version
            raise S3Error(404, "NoSuchVersion", "The specified version does not exist.")

    def exists(self, key: str) -> bool:
        """Whether a reader would find an object under this name."""
        with self._mutex:
            versions = self._objects.get(key, [])
            return bool(versions) and not versions[-1].deleted

    def keys(self, prefix: str = "") -> list[str]:
        """The names that a listing shows, in order."""
        with self._mutex:
            return sorted(key for key in self._objects if key.startswith(prefix) and self.exists(key))

    def versions(self, prefix: str = "") -> Iterator[tuple[str, Version]]:
        """All versions and delete markers, the newest of each name first."""
        with self._mutex:
            pairs = [
                (key, list(reversed(self._objects[key]))) for key in sorted(self._objects) if key.startswith(prefix)
            ]
        for key, versions in pairs:
            for version in versions:
                yield key, version

    # --- writing

    def put(self, key: str, version: Version, headers: dict[str, str], *, copy: bool = False) -> Version:
        """Store a version, if the conditions in the request's headers hold."""
        by = self.traits.put_condition_versioned if self.versioned else self.traits.put_condition
        with self._mutex:
            self._check(key, headers, self.traits.copy_condition if copy else by, PRECONDITION_FAILED)
            version.lock = self.lock_for(headers) or self._default()
            return self._add(key, version)

    def start(self, key: str, headers: dict[str, str]) -> Upload:
        """Open a multipart upload."""
        lock = self.lock_for(headers) or self._default()
        upload = Upload(key, uuid.uuid4().hex, headers, lock if self.traits.locks_uploads else None)
        with self._mutex:
            self.uploads[upload.upload_id] = upload
        return upload

    def upload(self, key: str, upload_id: str) -> Upload:
        """An open upload of this name; NoSuchUpload where there is none."""
        upload = self.uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise S3Error(404, "NoSuchUpload", "The specified multipart upload does not exist.")
        return upload

    def complete(
        self, key: str, upload_id: str, parts: list[tuple[int, str]], headers: dict[str, str]
    ) -> tuple[Version, bool]:
        """Make an object of an upload's parts; also says whether this call made it, or an earlier one."""
        with self._mutex:
            if upload_id not in self.uploads and (earlier := self._earlier(key, upload_id)):
                return earlier, False
            upload = self.upload(key, upload_id)
            self._check(key, headers, self.traits.complete_condition, self.traits.complete_taken)
            chosen = [self._part(upload, number, etag) for number, etag in parts]
            if not chosen or [number for number, _ in parts] != sorted({number for number, _ in parts}):
                raise S3Error(
                    400, "InvalidPartOrder" if chosen else "MalformedXML", "The list of parts is not in order."
                )
            if any(len(part.data) < self.traits.min_part_size for part in chosen[:-1]):
                raise S3Error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size.")
            digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in chosen)).hexdigest()
            data = b"".join(part.data for part in chosen)
            version = Version(data, f"{digest}-{len(chosen)}", upload.headers, lock=upload.lock, upload_id=upload_id)
            del self.uploads[upload_id]
            self._completed[upload_id] = self._add(key, version)
            return version, True

    def abort(self, key: str, upload_id: str) -> None:
        """Drop an open upload and its parts."""
        with self._mutex:
            self.upload(key, upload_id)
            del self.uploads[upload_id]

    def delete(self, key: str, version_id: str | None, headers: dict[str, str]) -> Version | None:
        """Delete an object or one of its versions; returns the marker, where one was laid."""
        with self._mutex:
            expected = headers.get("if-match")
            if expected and self.traits.delete_condition is Condition.REFUSED:
                raise S3Error(
                    501, "NotImplemented", "A header you provided implies functionality that is not implemented."
                )
            if expected and self.traits.delete_condition is Condition.HONOURED:
                current = self._current(key)
                if current is None or (expected != "*" and current.etag != expected.strip('"')):
                    raise S3Error(*PRECONDITION_FAILED)
            if version_id is None and self.versioned:
                return self._add(key, Version(b"", "", deleted=True))
            versions = self._objects.get(key, [])
            for version in [v for v in versions if version_id is None or v.version_id == version_id]:
                self._refuse_locked(version, headers)
                versions.remove(version)
            if not versions:
                self._objects.pop(key, None)
            return None

    # --- locks

    def lock_for(self, headers: dict[str, str]) -> Lock | None:
        """The lock that this store keeps for a request; an error where it refuses one."""
        mode, until = headers.get("x-amz-object-lock-mode"), headers.get("x-amz-object-lock-retain-until-date")
        if not mode and not until:
            return None
        if self.traits.locking is Locking.IGNORED:
            return None
        if self.traits.locking is Locking.REFUSED:
            raise S3Error(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
        if not self.locks:
            raise S3Error(400, "InvalidRequest", "Bucket is missing Object Lock Configuration")
        if not (mode and until):
            raise S3Error(400, "InvalidArgument", "Both mode and date are needed.")
        has_checksum = "content-md5" in headers or any(name.startswith("x-amz-checksum-") for name in headers)
        has_checksum = has_checksum or "x-amz-trailer" in headers or "x-amz-copy-source" in headers
        if self.traits.lock_needs_checksum and not has_checksum and "x-amz-is-multipart" not in headers:
            message = "Content-MD5 OR x-amz-checksum- HTTP header is required with Object Lock parameters"
            raise S3Error(400, "InvalidRequest", message)
        return self._kept(Lock(mode, datetime.fromisoformat(until)))

    def set_lock(self, key: str, version_id: str | None, lock: Lock, headers: dict[str, str]) -> None:
        """PutObjectRetention: lengthen a lock, or loosen one that may be loosened."""
        if self.traits.locking is Locking.IGNORED:
            return
        if not self.locks:
            raise S3Error(400, "InvalidRequest", "Bucket is missing Object Lock Configuration")
        with self._mutex:
            version = self.get(key, version_id)
            kept = version.lock
            if kept and (lock.until < kept.until or (kept.mode == "COMPLIANCE" and lock.mode != "COMPLIANCE")):
                self._refuse_locked(version, headers)
            version.lock = self._kept(lock)

    def shown_lock(self, version: Version) -> Lock | None:
        """The lock as HeadObject and GetObjectRetention show it."""
        return version.lock if self.traits.shows_locks else None

    def check_locks(self) -> None:
        """Raise what a store answers that is asked for the Object Lock of a bucket without one."""
        if not self.locks:
            raise S3Error(*NOT_FOUND_LOCK)

    # --- inside

    def _check(self, key: str, headers: dict[str, str], by: Condition, taken: tuple[int, str, str]) -> None:
        absent, match = headers.get("if-none-match"), headers.get("if-match")
        if (not absent and not match) or by is Condition.IGNORED:
            return
        if by is Condition.REFUSED:
            raise S3Error(501, "NotImplemented", "Conditional object PUTs are not supported.")
        current = self._current(key)
        if absent and current and absent.strip('"') in ("*", current.etag):
            raise S3Error(*taken)
        if match and current is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        if match and current and match.strip('"') not in ("*", current.etag):
            raise S3Error(*taken)

    def _current(self, key: str) -> Version | None:
        return self._objects[key][-1] if self.exists(key) else None

    def _add(self, key: str, version: Version) -> Version:
        if self.versioned:
            version.version_id = f"v{next(_numbers):06}"
            self._objects.setdefault(key, []).append(version)
        else:
            self._objects[key] = [version]
        return version

    def _earlier(self, key: str, upload_id: str) -> Version | None:
        completed = self._completed.get(upload_id)
        if completed and self.traits.repeats_completion:
            return completed
        current = self._current(key)
        return current if current and current.upload_id and self.traits.repeats_any_completion else None

    @staticmethod
    def _part(upload: Upload, number: int, etag: str) -> Version:
        part = upload.parts.get(number)
        if part is None or part.etag != etag.strip('"'):
            raise S3Error(400, "InvalidPart", "One or more of the specified parts could not be found.")
        return part

    def _default(self) -> Lock | None:
        if self.default_lock is None:
            return None
        mode, length = self.default_lock
        return self._kept(Lock(mode, datetime.now(UTC) + length))

    def _kept(self, lock: Lock) -> Lock:
        until = lock.until - timedelta(seconds=self.traits.lock_seconds_lost)
        return Lock(self.traits.lock_mode_kept or lock.mode, until)

    @staticmethod
    def _refuse_locked(version: Version, headers: dict[str, str]) -> None:
        lock = version.lock
        if lock is None or lock.until <= datetime.now(UTC):
            return
        if lock.mode == "GOVERNANCE" and headers.get("x-amz-bypass-governance-retention") == "true":
            return
        raise S3Error(403, "AccessDenied", "Access Denied because object protected by object lock.")


def check_digests(data: bytes, headers: dict[str, str], traits: StoreTraits) -> None:
    """Refuse a body that is not what its headers say, as far as this store looks."""
    expected = headers.get("content-md5")
    if traits.verifies_md5 and expected and base64.b64encode(hashlib.md5(data).digest()).decode() != expected:
        raise S3Error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    known: dict[str, Callable[[], bytes]] = {
        "x-amz-checksum-crc32": lambda: zlib.crc32(data).to_bytes(4, "big"),
        "x-amz-checksum-sha1": lambda: hashlib.sha1(data).digest(),
        "x-amz-checksum-sha256": lambda: hashlib.sha256(data).digest(),
    }
    for name, digest in known.items():
        expected = headers.get(name)
        if traits.verifies_checksums and expected and base64.b64encode(digest()).decode() != expected:
            algorithm = name.rpartition("-")[2].upper()
            raise S3Error(400, "BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    declared = headers.get("x-amz-content-sha256", "")
    if traits.verifies_sha256 and len(declared) == 64 and hashlib.sha256(data).hexdigest() != declared:
        raise S3Error(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match.")
