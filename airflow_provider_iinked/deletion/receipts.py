"""The receipts of one deletion, and the stores that they and the copies lie in."""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_iinked.custody.provenance import temp_file_token
from airflow_provider_iinked.custody.receipt import ReceiptStore, receipt_place
from airflow_provider_iinked.deletion.request import DeletionRequest
from airflow_provider_iinked.deletion.verification import Proof
from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.models import Video
from airflow_provider_iinked.storage import Store, open_store
from airflow_provider_iinked.storage.layout import folder_of

log = logging.getLogger(__name__)


class TaskReceipts:
    """
    Keep the receipts of one task: open before a request, complete or withdrawn after it.

    :param order: what is to be deleted.
    :param package_id: the package.
    :param api_base: the API in use.
    """

    def __init__(self, order: DeletionRequest, package_id: str, api_base: str) -> None:
        self._order = order
        self._package_id = package_id
        self._book = ReceiptStore(package_id, api_base, order.conn_id, order.stamp)
        self._stores: dict[str, Store] = {}
        self._open: dict[str, dict[str, Any]] = {}

    def store(self, url: str) -> Store:
        """
        Open each storage once in a task, afresh: nothing in it comes from another task's cache.

        :param url: an object in it.
        :return: the storage.
        :raises StorageError: when it cannot be opened.
        """
        scheme, _, rest = url.partition("://")
        root = f"{scheme}://{rest.partition('/')[0]}"
        if root not in self._stores:
            self._stores[root] = open_store(url, temp_file_token(self._order.stamp))
        return self._stores[root]

    def place(self, video_id: str) -> str | None:
        """
        Name the place of a receipt; beside a copy it has the name that the copy has.

        :param video_id: the recording.
        :return: the receipt's URL; None when there is no place for one.
        """
        copy = self._order.copy_of(video_id)
        if copy is not None:
            return receipt_place(copy.uri, None, self._package_id, copy.meeting_video_id)
        return receipt_place(None, self._order.receipt_destination, self._package_id, video_id)

    def folders(self) -> set[str]:
        """
        Name the folders in which receipts are written.

        :return: their URLs; none for a preview.
        """
        if self._order.preview:
            return set()
        if self._order.copies is not None:
            return {folder_of(copy.uri) for copy in self._order.copies.values()}
        place = self.place("any")
        return {folder_of(place)} if place else set()

    def open(self, video: Video, proof: Proof | None) -> None:
        """
        Write the receipt of a request that is about to be sent, where there is a place for one.

        :param video: the recording as listed.
        :param proof: what the deletion rests on.
        :raises StorageError: when it cannot be written; nothing may be sent then.
        """
        place = self.place(video.meeting_video_id)
        if place is None:
            return
        self._open[video.meeting_video_id] = self._book.request(
            self.store(place),
            place,
            video,
            proof.facts if proof else None,
            rewrites=self._open.get(video.meeting_video_id),
        )

    def withdraw(self, video_id: str) -> None:
        """
        Take an open receipt back: its request never went out, or did nothing. A failure of it is worth a word only.

        :param video_id: the recording.
        """
        receipt = self._open.pop(video_id, None)
        place = self.place(video_id)
        if receipt is None or place is None:
            return
        try:
            self._book.withdraw(self.store(place), place, receipt)
        except StorageError as error:
            log.warning("Video %s: nothing was deleted, but its receipt still says so: %s", video_id, error)

    def complete(self, video_id: str, told: Video | None) -> bool:
        """
        Complete the receipt of a recording that is gone: this task's, or one that a killed run left open.

        :param video_id: the recording.
        :param told: the API's words about it; None where the list told that it is gone.
        :return: whether there was one to complete.
        :raises StorageError: when it cannot be written; a later run completes it.
        """
        place = self.place(video_id)
        if place is None:
            return False
        receipt = self._open.pop(video_id, None)
        if receipt is None:
            return self._book.complete_left_over(self.store(place), place, video_id)
        self._book.complete(self.store(place), place, receipt, told.public_fields() if told else None)
        return True
