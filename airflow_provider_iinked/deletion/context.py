"""What the packages of one task share: the API, the request, open stores, threads, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_iinked.deletion.approval import Key, planned_deletion
from airflow_provider_iinked.deletion.protocols import DeletionApi
from airflow_provider_iinked.deletion.receipts import OpenStores
from airflow_provider_iinked.deletion.recording import Verification
from airflow_provider_iinked.deletion.request import DeletionRequest
from airflow_provider_iinked.deletion.rules import DeletionRules
from airflow_provider_iinked.deletion.service_health import ServiceHealth
from airflow_provider_iinked.deletion.workers import Workers
from airflow_provider_iinked.exceptions import IinkedSignError, TaskStoppedError
from airflow_provider_iinked.models import Video


class DeletionContext:
    """
    Shared by all packages of one task.

    :param api: the API.
    :param request: what to delete, and what must be verified before.
    """

    def __init__(self, api: DeletionApi, request: DeletionRequest) -> None:
        self.api = api
        self.request = request
        self.stores = OpenStores(request.task)
        self.health = ServiceHealth()
        self.workers = Workers(request.max_parallel, self.is_ending)
        self.approved: Mapping[Key, str] = {}
        self.stopped_by: IinkedSignError | None = None
        self._rules: list[DeletionRules] = []
        self._abandoned = False

    def add_rules(self, rules: DeletionRules) -> None:
        """
        Take in the rules of a package, which end with everything else.

        :param rules: the rules.
        """
        self._rules.append(rules)

    def is_approved(self, package_id: str, video: Video, verification: Verification | None) -> bool:
        """
        Tell whether a recording, as it is now, is in the approved plan.

        :param package_id: its package.
        :param video: the recording as listed.
        :param verification: its verified copies; None where none are needed.
        :return: True when it is; always where no approval is needed.
        """
        if self.request.approval is None:
            return True
        facts = verification.facts if verification is not None else ()
        planned = planned_deletion(self.api.api_base, package_id, video, facts)
        return self.approved.get(planned.key) == planned.digest()

    # --- whether to go on ---------------------------------------------------------------------------------------

    def is_ending(self) -> bool:
        """Tell whether nothing more may be begun; asked from every thread."""
        return self._abandoned or self.stopped_by is not None or self.api.stopping.is_set()

    def goes_on(self) -> bool:
        """Tell whether the task goes on; note why not when it is to end."""
        if self.stopped_by is None and self.api.stopping.is_set():
            self.stop(TaskStoppedError())
        return self.stopped_by is None

    def stop(self, error: IinkedSignError) -> None:
        """
        Send nothing more, for any package.

        :param error: why; the first one counts.
        """
        self.stopped_by = self.stopped_by or error
        for rules in self._rules:
            rules.stop(error)

    def abandon(self) -> None:
        """Begin nothing more: the task ends by an exception."""
        self._abandoned = True

    def pause(self, seconds: float) -> None:
        """
        Wait, unless the task is to end.

        :param seconds: how long.
        """
        self.api.stopping.wait(seconds)
