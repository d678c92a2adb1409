"""What workers do ahead of a request: verify the copies and write the receipt; a preview looks for legal holds."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from airflow_provider_iinked.deletion.context import DeletionContext
from airflow_provider_iinked.deletion.receipts import PackageReceipts
from airflow_provider_iinked.deletion.recording import Verification, listing_problem
from airflow_provider_iinked.deletion.request import PackageTarget
from airflow_provider_iinked.deletion.verification import verify_recording
from airflow_provider_iinked.exceptions import IinkedSignError, StorageError, VerificationError
from airflow_provider_iinked.models import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """
    What is ready for one request.

    :param verification: the verified copies; None where none are needed.
    :param verified_at: when they were read to their end.
    :param has_receipt: whether the receipt is written.
    """

    verification: Verification | None
    verified_at: float
    has_receipt: bool


class Preparation:
    """
    Prepare the requests of one package.

    :param context: what the packages of the task share.
    :param target: the package's part of the request.
    :param receipts: its receipts.
    """

    def __init__(self, context: DeletionContext, target: PackageTarget, receipts: PackageReceipts) -> None:
        self._context = context
        self._target = target
        self._receipts = receipts

    def open_places(self, video_id: str) -> bool:
        """
        Open the stores of a recording's copies and receipts, in the task's own thread.

        :param video_id: the recording.
        :return: whether there is anything to prepare.
        """
        places = [copy.uri for copy in self._target.copies_of(video_id)]
        places += self._receipts.places(video_id)
        try:
            for place in places:
                self._context.stores.open(place)
        except IinkedSignError:
            # The worker meets it again, and it becomes the recording's error.
            log.debug("The storage behind %s could not be opened.", places[0])
        return bool(places) or self._target.copies is not None

    def prepare(self, video_id: str, video: Video) -> Prepared:
        """
        Verify the copies, and write the receipt where they agree with the recording as listed. In a worker.

        :param video_id: the recording.
        :param video: the recording as listed.
        :return: what is ready.
        :raises VerificationError: when a copy is not what its record says, or there is none.
        :raises LegalHoldError: when the package is held.
        :raises StorageError: when a copy cannot be read or the receipt cannot be written.
        """
        verification, verified_at = None, 0.0
        if self._target.copies is not None:
            verification = self._verify(video_id)
            verified_at = time.monotonic()
            if listing_problem(verification, video) is not None:
                return Prepared(verification, verified_at, has_receipt=False)
        if self._context.is_ending():
            raise StorageError("Its receipt was not written: the task is to end.")
        if not self._context.request.preview:
            self._receipts.open(video, verification)
        elif verification is not None:
            self._receipts.check_copies_not_held(verification)
        return Prepared(verification, verified_at, has_receipt=True)

    def _verify(self, video_id: str) -> Verification:
        copies = self._target.copies_of(video_id)
        if not copies:
            raise VerificationError("kept on the platform: there is no verified copy of it")
        return verify_recording(
            self._context.stores.open,
            copies,
            api_base=self._context.api.api_base,
            recheck=self._context.request.recheck,
            stop=self._context.is_ending,
            signer=self._context.request.signer,
        )
