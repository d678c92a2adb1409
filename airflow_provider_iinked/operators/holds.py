"""
The operator that places and releases legal holds.

What it rests on is imported when it runs: a Dag file is parsed every few seconds and loads no storage library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_iinked.arguments import check_id, require_bool, require_not_none
from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.links import StoredCopiesLink, push_links

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class IinkedHoldOperator(BaseOperator):
    """
    Place a legal hold on a package, or release one: while it lies there, nothing of the package is deleted or erased.

    Placing waits up to a minute for deletions that were requested before it. A task that runs again, after a retry or
    a clear, finds its hold; another run places one of its own. A package is held until each hold is released.

    :param destination: URL below which the package's folder lies; where copies lie at several destinations, a hold at
        one of them keeps the recordings on the platform, and the copies there. (templated)
    :param package_id: the package; nothing of it needs to be there yet. (templated)
    :param reason: why; it stays in the archive. (templated)
    :param release: True to release a hold instead. Never a template.
    :param hold_id: which hold to release, where the package has several. (templated)
    :return: ``package_id`` and ``hold_id``; with them ``under_way``, recordings whose deletion or erasure was requested
        before and has no result yet, or ``held_by_others``, holds that remain.
    """

    template_fields: Sequence[str] = ("destination", "package_id", "reason", "hold_id")
    operator_extra_links = (StoredCopiesLink(),)
    ui_color = "#e3e3f4"

    def __init__(
        self,
        *,
        destination: str,
        package_id: str,
        reason: str,
        release: bool = False,
        hold_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        require_not_none(destination, "destination")
        require_not_none(package_id, "package_id")
        require_not_none(reason, "reason")
        if hold_id is not None and not require_bool(release, "release"):
            raise InvalidArgumentError("hold_id goes with release=True only; a new hold gets an id of its own.")
        super().__init__(**kwargs)
        self.destination = destination
        self.package_id = package_id
        self.reason = reason
        self.release = require_bool(release, "release")
        self.hold_id = hold_id
        self.hold_named = hold_id is not None

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Place or release the hold.

        :param context: Airflow's context.
        :return: the hold.
        :raises InvalidArgumentError: for an argument that is empty or malformed; nothing is changed.
        :raises LegalHoldError: when there is no such hold to release, or several and none was named.
        :raises StorageError: when the storage fails; nothing is placed or released then.
        """
        from airflow_provider_iinked.custody.hold import place_hold, release_hold
        from airflow_provider_iinked.custody.provenance import task_identity
        from airflow_provider_iinked.storage.url import check_destination

        push_links(context, self, None, check_destination(self.destination))
        task = task_identity(context)
        if not self.release:
            return place_hold(self.destination, self.package_id, reason=self.reason, task=task)
        chosen = check_id(self.hold_id, "hold_id") if self.hold_named else None
        return release_hold(self.destination, self.package_id, reason=self.reason, hold_id=chosen, task=task)
