"""The receipt of one deletion: written before the request, completed after it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import pendulum

from airflow_provider_iinked import __version__
from airflow_provider_iinked.custody.record import FORMAT, TaskIdentity
from airflow_provider_iinked.custody.signing import DocumentSigner, write_document, write_unsigned
from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.models import Video
from airflow_provider_iinked.storage import Store
from airflow_provider_iinked.storage.base import parse_json
from airflow_provider_iinked.storage.layout import Layout
from airflow_provider_iinked.storage.quarantine import quarantine

log = logging.getLogger(__name__)

REQUESTED: Final = "requested"
DELETED: Final = "deleted"
"""A list that was read after the request showed the recording deleted, or no more."""
UNCONFIRMED: Final = "unconfirmed"
"""The API said that it deleted the recording; no list had shown that yet."""
WITHDRAWN: Final = "withdrawn"
"""The request that the receipt was written for never went out, or did nothing: the receipt is void."""


@dataclass(frozen=True)
class ReceiptStore:
    """
    Where and how the receipts of one task are written.

    :param package_id: the package.
    :param api_base: the API in use.
    :param conn_id: the Airflow connection.
    :param stamp: the running task.
    :param signer: signs the receipts; None for nobody.
    """

    package_id: str
    api_base: str
    conn_id: str | None
    stamp: TaskIdentity
    signer: DocumentSigner | None = None

    def open(
        self,
        store: Store,
        url: str,
        video: Video,
        proof: Mapping[str, Any] | None,
        *,
        rewrites: Mapping[str, Any] | None = None,
        approval: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Write a receipt before the request is sent, durably. An earlier one of the same recording is kept inside.

        :param store: the storage.
        :param url: the receipt.
        :param video: the recording as listed.
        :param proof: what the deletion rests on; None for a deletion without a copy.
        :param rewrites: this task's own open receipt, whose place the new one takes.
        :param approval: who approved it, when, and the digests of the plan and of this recording in it.
        :return: the receipt, to be completed.
        :raises StorageError: when it cannot be written; nothing may be sent then.
        """
        receipt = {
            "format": FORMAT,
            "status": REQUESTED,
            "api_base": self.api_base,
            "package_id": self.package_id,
            "meeting_video_id": video.meeting_video_id,
            "video": video.public_fields(),
            "conn_id": self.conn_id,
            **asdict(self.stamp),
            "provider_version": __version__,
            "proof": dict(proof) if proof is not None else None,
            **({"approval": dict(approval)} if approval is not None else {}),
            "requested_at": _now(),
            "deleted_at": None,
            "answer": None,
        }
        if self.signer is None and rewrites is None and store.create_json(url, receipt, durable=True):
            return receipt
        data = store.read_bytes(url)
        earlier = parse_json(data)
        if data is not None and not self._is_own(earlier, video.meeting_video_id):
            self._set_aside(store, url, video.meeting_video_id)
        elif data is not None and (kept := _worth_keeping(earlier, rewrites)):
            receipt["previous"] = kept
            is_rewritten = earlier == rewrites
            problem = earlier.get("previous_signature") if is_rewritten else self._signature_problem(store, url, data)
            if problem:
                receipt["previous_signature"] = problem
        write_document(store, url, receipt, self.signer)
        return receipt

    def complete(
        self,
        store: Store,
        url: str,
        receipt: Mapping[str, Any],
        answer: Mapping[str, Any] | None,
        *,
        confirmed: bool = True,
    ) -> None:
        """
        Complete a receipt after the deletion.

        :param store: the storage.
        :param url: the receipt.
        :param receipt: what was written before the request.
        :param answer: the API's words about the recording, without a URL; None where only the list shows it.
        :param confirmed: whether a list has shown the recording deleted, or no more; else it stays unconfirmed.
        :raises StorageError: when it cannot be written; a later run completes it.
        """
        done = {
            **receipt,
            "status": DELETED if confirmed else UNCONFIRMED,
            "deleted_at": _now() if confirmed else None,
            "answer": answer,
            "told_by": "answer" if answer is not None else "list",
            "completed_by": asdict(self.stamp),
        }
        write_document(store, url, done, self.signer)

    def void(self, store: Store, url: str, receipt: Mapping[str, Any]) -> None:
        """
        Void a receipt whose request never went out, or did nothing: an earlier one gets its place again.

        :param store: the storage.
        :param url: the receipt.
        :param receipt: what was written before the request.
        :raises StorageError: when it cannot be written.
        """
        if store.read_json(url)[1] != receipt:
            return  # Another run's by now.
        earlier = receipt.get("previous")
        if earlier and receipt.get("previous_signature"):
            write_unsigned(store, url, earlier)  # as it was found: nobody vouches for it
        else:
            write_document(store, url, earlier or {**receipt, "status": WITHDRAWN}, self.signer)

    def complete_left_over(self, store: Store, url: str, meeting_video_id: str) -> Mapping[str, Any] | None:
        """
        Complete the receipt of a recording that is gone, where an earlier run got no further than the request.

        :param store: the storage.
        :param url: the receipt.
        :param meeting_video_id: the recording that is gone.
        :return: the receipt that was to be completed; None when there was none.
        :raises StorageError: when it cannot be read or written.
        """
        data = store.read_bytes(url)
        found = parse_json(data)
        if data is None or not self._is_own(found, meeting_video_id):
            return None
        receipt: Mapping[str, Any] = found
        if receipt.get("status") not in (REQUESTED, UNCONFIRMED):
            return None
        if problem := self._signature_problem(store, url, data):
            log.warning("%s was completed, and not signed: %s. Verifying names it.", url, problem)
            replace(self, signer=None).complete(store, url, receipt, receipt.get("answer"))
        else:
            self.complete(store, url, receipt, receipt.get("answer"))
        return receipt

    def _signature_problem(self, store: Store, url: str, data: bytes) -> str:
        """Why an earlier run's receipt must not get a signature of this run; empty where it may, or nobody signs."""
        return self.signer.check(store, url, data).reason if self.signer is not None else ""

    def approved_digest(self, store: Store, url: str, meeting_video_id: str, plan_sha256: str) -> str | None:
        """
        Read which digest a recording had in a plan, where an earlier try of this very task requested its deletion.

        :param store: the storage.
        :param url: the receipt.
        :param meeting_video_id: the recording that is gone.
        :param plan_sha256: digest of the approved plan.
        :return: the recording's digest; None where there is no such receipt.
        :raises StorageError: when it cannot be read.
        """
        receipt = store.read_json(url)[1]
        approval = receipt.get("approval") if self._is_of_this_task(receipt, meeting_video_id) else None
        if not isinstance(approval, dict) or approval.get("plan_sha256") != plan_sha256:
            return None
        digest = approval.get("recording_sha256")
        return digest if isinstance(digest, str) else None

    def _is_of_this_task(self, receipt: Any, meeting_video_id: str) -> bool:
        """Tell whether a receipt in force was written by a try of this task: no other one's deletions count for it."""
        if not self._is_own(receipt, meeting_video_id) or receipt.get("status") == WITHDRAWN:
            return False
        names = ("dag_id", "run_id", "task_id", "map_index")
        return all(receipt.get(name) == getattr(self.stamp, name) for name in names)

    def _set_aside(self, store: Store, url: str, meeting_video_id: str) -> None:
        """Only what was found to be no receipt of ours: noted first, then read again."""
        seen = store.identity(url)
        is_own = self._is_own(store.read_json(url)[1], meeting_video_id)
        if is_own or not quarantine(store, url, "it is not the receipt of this recording", seen=seen):
            raise StorageError(f"{url} changed during the check; another run is writing to it")

    def _is_own(self, receipt: Any, meeting_video_id: str) -> bool:
        """Tell whether a receipt speaks of this recording in this data centre; two may share a folder."""
        if not isinstance(receipt, dict) or receipt.get("api_base") != self.api_base:
            return False
        named = (str(receipt.get("package_id")), str(receipt.get("meeting_video_id")))
        return tuple(map(str.casefold, named)) == (self.package_id.casefold(), meeting_video_id.casefold())


def _worth_keeping(earlier: Mapping[str, Any], rewrites: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Another run may be at work, or was killed after its request: its word must not get lost. Our own is rewritten."""
    if earlier == rewrites:
        return earlier.get("previous")
    return None if earlier.get("status") == WITHDRAWN else earlier


def receipt_place(copy_uri: str | None, receipt_destination: str | None, package_id: str, video_id: str) -> str | None:
    """
    Name the place of a receipt: beside a verified copy, else below ``receipt_destination``.

    :param copy_uri: the verified copy, or None.
    :param receipt_destination: where receipts without copies go, or None.
    :param package_id: the package.
    :param video_id: the recording.
    :return: the receipt's URL; None when there is no place for one.
    """
    if copy_uri is not None:
        return Layout.beside(copy_uri).receipt(video_id)
    return Layout.of(receipt_destination, package_id).receipt(video_id) if receipt_destination else None


def _now() -> str:
    return pendulum.now("UTC").isoformat()
