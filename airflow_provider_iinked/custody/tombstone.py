"""
Erasing a copy on purpose, and the tombstone that says so: ``<id>.erased.json`` beside the custody record.

A tombstone tells an erased copy from a lost one. It is written before anything is removed and completed afterwards, so
an erasure that was killed in the middle shows, and can be finished by asking again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pendulum

from airflow_provider_iinked import __version__
from airflow_provider_iinked.arguments import check_id
from airflow_provider_iinked.custody.hold import check_not_held
from airflow_provider_iinked.custody.record import TaskIdentity, stored_beside
from airflow_provider_iinked.custody.signing import DocumentSigner, write_document, write_unsigned
from airflow_provider_iinked.exceptions import InvalidArgumentError, LegalHoldError, StorageError, VerificationError
from airflow_provider_iinked.storage import Store, open_store
from airflow_provider_iinked.storage.base import parse_json
from airflow_provider_iinked.storage.layout import Layout, copies_of, signature_of
from airflow_provider_iinked.storage.url import check_destination, join

log = logging.getLogger(__name__)

TOMBSTONE_FORMAT: Final = 1
REQUESTED: Final = "requested"
ERASED: Final = "erased"


def tombstone_problems(tombstone: object, *, package_id: str, meeting_video_id: str) -> list[str]:
    """
    Say why a tombstone does not stand for the erasure of a recording's copy.

    :param tombstone: the JSON value.
    :param package_id: the package.
    :param meeting_video_id: the recording.
    :return: the reasons, as text; empty when it does.
    """
    if not isinstance(tombstone, Mapping):
        return ["the tombstone cannot be read"]
    if tombstone.get("format") != TOMBSTONE_FORMAT or isinstance(tombstone.get("format"), bool):
        return [f"the tombstone's format {tombstone.get('format')!r} is not known (known: {TOMBSTONE_FORMAT})"]
    if (tombstone.get("package_id"), tombstone.get("meeting_video_id")) != (package_id, meeting_video_id):
        return ["the tombstone is another recording's"]
    if tombstone.get("status") != ERASED:
        return ["its erasure was begun and not finished"]
    return []


def erase_copy(
    destination: str,
    package_id: str,
    meeting_video_id: str,
    *,
    reason: str,
    erased_by: str | None = None,
    stamp: TaskIdentity | None = None,
    signer: DocumentSigner | None = None,
) -> dict[str, Any]:
    """
    Erase the stored copy of one recording, with all quarantined ones of it, and leave a tombstone that says why.

    Record and receipt stay. On the platform nothing is touched. In a bucket with versions older versions stay until
    the bucket's own rules remove them.

    :param destination: URL below which the package's folder lies.
    :param package_id: the package.
    :param meeting_video_id: the recording.
    :param reason: why, as text; it stands in the tombstone.
    :param erased_by: who requested it, for the tombstone.
    :param stamp: the running task, if there is one.
    :param signer: signs the tombstone; None for nobody.
    :return: the tombstone.
    :raises InvalidArgumentError: for a malformed id or destination, or a blank reason; nothing is touched.
    :raises VerificationError: when there is nothing of that recording; nothing is touched.
    :raises LegalHoldError: when the package is under legal hold; nothing is erased.
    :raises StorageError: when the storage fails; asking again finishes it.
    """
    layout = Layout.of(check_destination(destination), check_id(package_id, "package_id"))
    folder = layout.folder
    check_id(meeting_video_id, "meeting_video_id")
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidArgumentError("reason must say why the copy is erased. Nothing was erased.")
    store = open_store(folder)
    check_not_held(store, layout)
    copies = copies_of(store.list_names(folder), meeting_video_id, quarantined=True)
    url = layout.tombstone(meeting_video_id)
    record = _read(store, layout.record(meeting_video_id), signer, is_record=True)
    earlier = _read(store, url, signer)
    if not copies and record is None and (earlier is None or earlier.value is None):
        raise VerificationError(
            f"There is no copy and no record of video {meeting_video_id} at {folder}. Nothing was erased."
        )
    if record is not None and record.is_untrusted:
        raise VerificationError(
            f"The record of video {meeting_video_id} was signed by another key than the one given, whose tombstone "
            "would excuse nothing. Nothing was erased. Give the archive's signing key, or with a new key the public "
            "key before it as well."
        )
    tombstone = {
        **_requested_tombstone(package_id, meeting_video_id, record.relied_on if record is not None else {}),
        "reason": reason.strip(),
        "erased_by": erased_by,
        "removed": _removed_before(earlier.relied_on if earlier is not None else {}) + copies,
        **asdict(stamp or TaskIdentity()),
    }
    write_document(store, url, tombstone, signer)
    try:
        # Again, after the tombstone is there: a hold that was placed meanwhile has seen it, or is seen here.
        check_not_held(store, layout)
    except LegalHoldError:
        _take_back(store, url, earlier, signer)
        raise
    for name in copies:
        store.remove(join(folder, name))
    if left := copies_of(store.list_names(folder), meeting_video_id, quarantined=True):
        raise StorageError(f"{', '.join(left)} is still there after its removal from {folder}. Ask again.")
    tombstone |= {"status": ERASED, "erased_at": _now()}
    write_document(store, url, tombstone, signer)
    return tombstone


@dataclass(frozen=True)
class _Found:
    """A document of an earlier run."""

    value: dict[str, Any] | None
    is_untrusted: bool = False
    """Another key signed it."""
    problem: str = ""
    """Why a document of this run must not repeat it under a signature; empty where it may, or nobody signs."""

    @property
    def relied_on(self) -> dict[str, Any]:
        """What this run's own document may repeat of it."""
        return self.value if self.value is not None and not self.problem else {}


def _read(store: Store, url: str, signer: DocumentSigner | None, *, is_record: bool = False) -> _Found | None:
    data = store.read_bytes(url)
    if data is None:
        return None
    value = parse_json(data)
    value = value if isinstance(value, dict) else None
    if value is None or signer is None:
        return _Found(value)
    signature = signer.check(store, url, data, stored=stored_beside(value, url) if is_record else None)
    if signature.reason:
        log.warning("%s: %s. The tombstone repeats nothing of it.", url, signature.reason)
    return _Found(value, signature.is_untrusted, signature.reason)


def _requested_tombstone(package_id: str, meeting_video_id: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Say of which copy an erasure is requested, as its custody record describes it."""
    return {
        "format": TOMBSTONE_FORMAT,
        "status": REQUESTED,
        "package_id": package_id,
        "meeting_video_id": meeting_video_id,
        "reason": None,
        "erased_by": None,
        **{name: known.get(name) for name in ("uri", "size", "sha256")},
        "removed": [],
        "requested_at": _now(),
        "erased_at": None,
        "provider_version": __version__,
    }


def _take_back(store: Store, url: str, earlier: _Found | None, signer: DocumentSigner | None) -> None:
    if earlier is None or earlier.value is None:
        store.remove(url)
        store.remove(signature_of(url))
    elif earlier.problem:
        write_unsigned(store, url, earlier.value)  # as it was found: nobody vouches for it
    else:
        write_document(store, url, earlier.value, signer)


def _removed_before(earlier: Mapping[str, Any]) -> list[str]:
    """What an erasure that was requested before has removed or was about to."""
    removed = earlier.get("removed")
    return [name for name in removed if isinstance(name, str)] if isinstance(removed, list) else []


def _now() -> str:
    return pendulum.now("UTC").isoformat()
