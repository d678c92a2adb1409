"""
The operator that verifies stored copies on a schedule.

What it rests on is imported when it runs: a Dag file is parsed every few seconds and loads no storage library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_iinked.arguments import (
    RECHECKS,
    check_choice,
    check_id,
    require_bool,
    require_int,
    require_not_none,
)
from airflow_provider_iinked.links import StoredCopiesLink, push_links

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class IinkedVerifyCopiesOperator(BaseOperator):
    """
    Read every copy below a destination again and compare it with its custody record.

    It asks the storage only, never the API. What was erased on purpose (with a tombstone) and what was deleted without
    a copy (with a receipt) is no difference; what changed, is missing or cannot be read is.

    :param destination: URL below which the packages' folders lie, as given to the download. (templated)
    :param package_ids: packages to look at; None for all that lie there. (templated)
    :param recheck: ``sha256`` reads each copy from end to end; ``metadata`` compares size and the store's validator,
        and reads where the store gives none.
    :param max_parallel: how many copies are read at a time.
    :param allow_empty: whether a destination with nothing below it is fine; else it counts as a loss.
    :return: ``destination``, ``counts`` by status and ``differences``; also when the task fails for them.
    """

    template_fields: Sequence[str] = ("destination", "package_ids")
    operator_extra_links = (StoredCopiesLink(),)
    ui_color = "#e3e3f4"

    def __init__(
        self,
        *,
        destination: str,
        package_ids: Sequence[str] | None = None,
        recheck: str = "sha256",
        max_parallel: int = 4,
        allow_empty: bool = False,
        **kwargs: Any,
    ) -> None:
        require_not_none(destination, "destination")
        check_choice(recheck, "recheck", RECHECKS)
        require_int(max_parallel, "max_parallel", minimum=1)
        require_bool(allow_empty, "allow_empty")
        super().__init__(**kwargs)
        self.destination = destination
        self.package_ids = package_ids
        self.packages_wanted = package_ids is not None
        self.recheck = recheck
        self.max_parallel = max_parallel
        self.allow_empty = allow_empty

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Verify the copies.

        :param context: Airflow's context.
        :return: what was found, in counts, and each difference.
        :raises InvalidArgumentError: for an argument that is empty-handed or malformed.
        :raises VerificationError: when any copy is not what its record says; the XCom is pushed before.
        :raises StorageError: when the destination cannot be listed.
        """
        from airflow_provider_iinked.custody.verify import verify_copies
        from airflow_provider_iinked.exceptions import VerificationError

        found = verify_copies(
            self.destination,
            package_ids=self._packages(),
            recheck=check_choice(self.recheck, "recheck", RECHECKS),
            max_parallel=require_int(self.max_parallel, "max_parallel", minimum=1),
        )
        push_links(context, self, None, found.destination)
        result = {
            "destination": found.destination,
            "counts": found.counts,
            "differences": [finding.as_dict() for finding in found.differences],
        }
        lost = not found.findings and not require_bool(self.allow_empty, "allow_empty") and self._packages() != []
        if not found.differences and not lost:
            self.log.info("%s: %d recordings verified: %s", found.destination, len(found.findings), found.counts)
            return result
        if ti := context.get("ti"):
            ti.xcom_push(key="return_value", value=result)
        if lost:
            raise VerificationError(
                f"There is nothing below {found.destination}: no record, no copy. Check the destination; where nothing "
                "was ever copied yet, set allow_empty=True."
            )
        named = ", ".join(f"{f.package_id}/{f.meeting_video_id} ({f.status})" for f in found.differences[:20])
        raise VerificationError(
            f"{len(found.differences)} of {len(found.findings)} recordings below {found.destination} are not what their"
            f" custody records say: {named}{', ...' if len(found.differences) > 20 else ''}. Nothing was changed. The "
            "log and the XCom name what differs."
        )

    def _packages(self) -> list[str] | None:
        if not self.packages_wanted:
            return None
        given = [self.package_ids] if isinstance(self.package_ids, str) else self.package_ids
        if not isinstance(given, Sequence):
            return [check_id(given, "package_ids")]
        return [check_id(item, f"package_ids[{n}]") for n, item in enumerate(given)]
