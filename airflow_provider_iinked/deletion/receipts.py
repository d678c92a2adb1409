"""The receipts of one package's deletion, and the stores that they and the copies lie in."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from airflow_provider_iinked.custody.hold import check_not_held
from airflow_provider_iinked.custody.provenance import temp_file_token
from airflow_provider_iinked.custody.receipt import ReceiptStore, receipt_place
from airflow_provider_iinked.custody.record import TaskIdentity
from airflow_provider_iinked.deletion.approval import planned_deletion
from airflow_provider_iinked.deletion.recording import Verification
from airflow_provider_iinked.deletion.request import DeletionRequest, PackageTarget
from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError
from airflow_provider_iinked.models import Video
from airflow_provider_iinked.storage import Store, open_store
from airflow_provider_iinked.storage.layout import Layout, folder_of
from airflow_provider_iinked.storage.shared_call import SharedCall
from airflow_provider_iinked.storage.url import check_destination

HOLD_LOOK_AGE: Final = 0.25
"""Seconds for which a look for holds may serve further requests."""

log = logging.getLogger(__name__)


class OpenStores:
    """
    The stores of one task, each opened once and afresh: nothing in them comes from another task's cache.

    :param task: the running task.
    """

    def __init__(self, task: TaskIdentity) -> None:
        self._task = task
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()

    def open(self, url: str) -> Store:
        """
        Open the store of a URL, or return the opened one. What the XCom names is opened in the task's own thread.

        :param url: an object in it.
        :return: the store.
        :raises StorageError: when it cannot be opened.
        """
        scheme, _, rest = url.partition("://")
        root = f"{scheme}://{rest.partition('/')[0]}"
        with self._lock:
            if root not in self._stores:
                self._stores[root] = open_store(url, temp_file_token(self._task))
            return self._stores[root]


class PackageReceipts:
    """
    Keep the receipts of one package: open before a request, completed or void after it.

    Its methods may run in several threads, each for another recording.

    :param request: the deletion.
    :param target: the package's part of it.
    :param api_base: the API in use.
    :param stores: the task's stores.
    """

    def __init__(self, request: DeletionRequest, target: PackageTarget, api_base: str, stores: OpenStores) -> None:
        self._target = target
        self._destination = request.receipt_destination
        self._receipts = ReceiptStore(target.package_id, api_base, request.conn_id, request.task, request.signer)
        self._stores = stores
        self._looks: dict[str, SharedCall] = {}
        self._written_at: dict[str, float] = {}
        self._approval = request.approval
        self._api_base = api_base
        self._open: dict[str, dict[str, dict[str, Any]]] = {}

    def places(self, video_id: str) -> tuple[str, ...]:
        """
        Name the places of a recording's receipt: one beside each copy, under the name that the copy has.

        :param video_id: the recording.
        :return: the receipts' URLs; none when there is no place for one.
        """
        if self._target.copies is not None:
            copies = self._target.copies_of(video_id)
            found = [receipt_place(copy.uri, None, copy.package_id, copy.meeting_video_id) for copy in copies]
        else:
            found = [receipt_place(None, self._destination, self._target.package_id, video_id)]
        return tuple(place for place in found if place is not None)

    def _places_of(self, video_id: str, facts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Name the places of a receipt with those beside copies that only a record names."""
        places = self.places(video_id)
        known = {folder_of(place) for place in places}
        beside = [Layout.beside(fact["uri"]).receipt(video_id) for fact in facts if folder_of(fact["uri"]) not in known]
        return (*places, *beside)

    def folders(self) -> set[str]:
        """
        Name the folders in which receipts are written.

        :return: their URLs.
        """
        if self._target.copies is not None:
            return {folder_of(copy.uri) for copies in self._target.copies.values() for copy in copies}
        return {folder_of(place) for place in self.places("any")}

    def open(self, video: Video, verification: Verification | None) -> None:
        """
        Write the receipt of a request that is about to be sent, at every place for one.

        :param video: the recording as listed.
        :param verification: what the deletion rests on.
        :raises StorageError: when it cannot be written; nothing may be sent then.
        """
        facts = verification.facts if verification is not None else ()
        for place in self._places_of(video.meeting_video_id, facts):
            beside = next((fact for fact in facts if folder_of(fact["uri"]) == folder_of(place)), None)
            proof = {**beside, "copies": list(facts)} if beside is not None and len(facts) > 1 else beside
            written = self._open.setdefault(video.meeting_video_id, {})
            written[place] = self._receipts.open(
                self._stores.open(place),
                place,
                video,
                proof,
                rewrites=written.get(place),
                approval=self._approval_of(video, facts),
            )
        self._written_at[video.meeting_video_id] = time.monotonic()

    def _approval_of(self, video: Video, facts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        if self._approval is None:
            return None
        planned = planned_deletion(self._api_base, self._target.package_id, video, facts)
        return self._approval.receipt_fields(planned.digest())

    def approved_before(self, video_id: str, plan_sha256: str) -> dict[tuple[str, str], str]:
        """
        Read which digest a recording that is gone had in an approved plan, as its receipt says.

        :param video_id: the recording.
        :param plan_sha256: digest of the approved plan.
        :return: the digest by case-folded package and recording; empty where no receipt says so.
        :raises StorageError: when a receipt cannot be read.
        """
        for place in self.places(video_id):
            digest = self._receipts.approved_digest(self._stores.open(place), place, video_id, plan_sha256)
            if digest is not None:
                return {(self._target.package_id.casefold(), video_id.casefold()): digest}
        return {}

    def check_folders_not_held(self) -> None:
        """
        Refuse a package that is under legal hold, before anything is sent for it.

        :raises LegalHoldError: when it is held at any of its folders.
        :raises StorageError: when that cannot be known.
        """
        for folder in sorted(self.folders()):
            check_not_held(self._stores.open(folder), Layout(folder))

    def check_not_held(self, video_id: str) -> None:
        """
        Refuse a request for what is under legal hold; asked right before each request, in the task's own thread.

        Only a look after the receipt is written counts: see custody.hold.

        :param video_id: the recording, whose receipts are written.
        :raises LegalHoldError: when its package is held beside any of its receipts; nothing may be sent then.
        :raises StorageError: when that cannot be known; nothing may be sent then.
        """
        places = self._open.get(video_id, {})
        not_before = max(self._written_at.get(video_id, 0.0), time.monotonic() - HOLD_LOOK_AGE)
        for folder in sorted({folder_of(place) for place in places}):
            if folder not in self._looks:
                self._looks[folder] = SharedCall(partial(check_not_held, self._stores.open(folder), Layout(folder)))
            self._looks[folder](not_before)

    def check_copies_not_held(self, verification: Verification) -> None:
        """
        Refuse a preview of what is under legal hold where a copy lies that only a record names.

        :param verification: the verified copies.
        :raises LegalHoldError: when the package is held there.
        :raises StorageError: when that cannot be known.
        """
        for folder in sorted({folder_of(fact["uri"]) for fact in verification.facts} - self.folders()):
            check_not_held(self._stores.open(folder), Layout(folder))

    def is_open(self, video_id: str) -> bool:
        """
        Tell whether this task has written a receipt that is not completed or void.

        :param video_id: the recording.
        :return: True when there is one.
        """
        return bool(self._open.get(video_id))

    def void(self, video_id: str) -> None:
        """
        Void an open receipt: its request never went out, or did nothing. A failure of it is a warning only.

        :param video_id: the recording.
        """
        for place, receipt in self._open.pop(video_id, {}).items():
            try:
                self._receipts.void(self._stores.open(place), place, receipt)
            except StorageError as error:
                log.warning("Video %s: nothing was deleted, but its receipt still says so: %s", video_id, error)

    def complete(self, video_id: str, answer: Video | None, *, confirmed: bool = True) -> None:
        """
        Complete this task's own receipt after a deletion.

        :param video_id: the recording.
        :param answer: the API's words about it; None where only the list shows that it is gone.
        :param confirmed: whether a list has shown it deleted, or no more.
        :raises StorageError: when it cannot be written; a later run completes it.
        """
        said = answer.public_fields() if answer is not None else None
        for place, receipt in self._open.pop(video_id, {}).items():
            self._receipts.complete(self._stores.open(place), place, receipt, said, confirmed=confirmed)

    def complete_left_over(self, video_id: str) -> None:
        """
        Complete the receipt of a recording that is gone, where an earlier run got no further than the request.

        :param video_id: the recording.
        :raises StorageError: when it cannot be read or written.
        """
        self.void(video_id)
        left = list(self.places(video_id))
        seen: set[str] = set()
        while left:
            place = left.pop()
            seen.add(place)
            receipt = self._receipts.complete_left_over(self._stores.open(place), place, video_id)
            if receipt is not None:
                log.info("Video %s: completed the receipt of an earlier run: %s", video_id, place)
                left += [other for other in _beside_copies(receipt, video_id) if other not in {*seen, *left}]


def _beside_copies(receipt: Mapping[str, Any], video_id: str) -> list[str]:
    """Name the other places of a receipt: one lies beside each copy that the deletion rests on."""
    proof = receipt.get("proof")
    copies = proof.get("copies") if isinstance(proof, Mapping) else None
    uris = [copy.get("uri") for copy in copies if isinstance(copy, Mapping)] if isinstance(copies, list) else []
    found = []
    for uri in uris:
        with contextlib.suppress(InvalidArgumentError):
            found.append(Layout.beside(check_destination(uri)).receipt(video_id))
    return found
