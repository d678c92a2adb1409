"""
The operators that verify stored copies and seal an archive, on a schedule.

What it rests on is imported when it runs: a Dag file is parsed every few seconds and loads no storage library.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

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

    from airflow_provider_iinked.custody.finding import Status
    from airflow_provider_iinked.custody.verify import Verifier

MAX_DIFFERENCES: Final = 100
"""How many differences an XCom names; the log names all."""
_NAMED: Final = 20


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
    :param max_bytes: bytes of copies after which it ends; the next run goes on with the package that was verified
        longest ago. Not with ``package_ids``. None for no limit.
    :param max_seconds: seconds after which it ends, likewise.
    :param allow_empty: whether a destination with nothing below it is fine; else it counts as a loss.
    :return: ``destination``, ``counts`` by status and ``differences`` (the first 100; ``more_differences`` counts the
        rest, where there is one); ``held`` names packages under legal hold, where there are any. Also when the task
        fails for the differences.
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
        max_bytes: int | None = None,
        max_seconds: int | None = None,
        allow_empty: bool = False,
        **kwargs: Any,
    ) -> None:
        require_not_none(destination, "destination")
        check_choice(recheck, "recheck", RECHECKS)
        require_int(max_parallel, "max_parallel", minimum=1)
        require_bool(allow_empty, "allow_empty")
        for name, limit in (("max_bytes", max_bytes), ("max_seconds", max_seconds)):
            if limit is not None:
                require_int(limit, name, minimum=1)
        super().__init__(**kwargs)
        self.destination = destination
        self.package_ids = package_ids
        self.packages_wanted = package_ids is not None
        self.recheck = recheck
        self.max_parallel = max_parallel
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds
        self.allow_empty = allow_empty

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Verify the copies.

        :param context: Airflow's context.
        :return: what was found, in counts, and each difference.
        :raises InvalidArgumentError: for an argument that is empty or malformed.
        :raises VerificationError: when any copy is not what its record says; the XCom is pushed before.
        :raises StorageError: when the destination cannot be listed.
        """
        from airflow_provider_iinked.custody.verify import Budget, Verifier
        from airflow_provider_iinked.exceptions import VerificationError

        verifier = Verifier(
            self.destination,
            package_ids=self._packages(),
            recheck=check_choice(self.recheck, "recheck", RECHECKS),
            max_parallel=require_int(self.max_parallel, "max_parallel", minimum=1),
            budget=Budget(self.max_bytes, self.max_seconds),
        )
        push_links(context, self, None, verifier.destination)
        result = self._verify(verifier)
        total = sum(result["counts"].values())
        lost = not total and not require_bool(self.allow_empty, "allow_empty") and self._packages() != []
        if not verifier.differences and not lost:
            self.log.info("%s: %d recordings verified: %s", verifier.destination, total, result["counts"])
            return result
        if ti := context.get("ti"):
            ti.xcom_push(key="return_value", value=result)
        if lost:
            raise VerificationError(
                f"There is nothing below {verifier.destination}: no record, no copy. Check the destination; where "
                "nothing was ever copied yet, set allow_empty=True."
            )
        named = [f"{one['package_id']}/{one['meeting_video_id']} ({one['status']})" for one in result["differences"]]
        more = ", ..." if verifier.differences > _NAMED else ""
        raise VerificationError(
            f"{verifier.differences} of {total} recordings below {verifier.destination} are not what their custody "
            f"records say: {', '.join(named[:_NAMED])}{more}. Nothing was changed. The log and the XCom name what "
            "differs."
        )

    def _verify(self, verifier: Verifier) -> dict[str, Any]:
        """Verify in constant memory; the XCom is bounded whatever is found."""
        from airflow_provider_iinked.custody.finding import count_by_status

        statuses: Counter[Status] = Counter()
        differences: list[dict[str, Any]] = []
        for finding in verifier.findings():
            statuses[finding.status] += 1
            if finding.is_difference and len(differences) < MAX_DIFFERENCES:
                differences.append(finding.as_dict())
        result: dict[str, Any] = {
            "destination": verifier.destination,
            "counts": count_by_status(statuses.elements()),
            "differences": differences,
        }
        if verifier.differences > len(differences):
            result["more_differences"] = verifier.differences - len(differences)
        if verifier.held:
            result["held"] = verifier.held[:MAX_DIFFERENCES]
        return result

    def _packages(self) -> list[str] | None:
        if not self.packages_wanted:
            return None
        given = [self.package_ids] if isinstance(self.package_ids, str) else self.package_ids
        if not isinstance(given, Sequence):
            return [check_id(given, "package_ids")]
        return [check_id(item, f"package_ids[{n}]") for n, item in enumerate(given)]


class IinkedSealArchiveOperator(BaseOperator):
    """
    Seal an archive: what was added or changed since the last seal is verified and held fast in a new, signed one.

    What differs from what was signed or sealed is not sealed, and fails the task once the seal is written. Two sealers
    at a time cannot write one seal: the second one fails and a retry helps. Keep the digest that it returns in another
    place than the archive: it shows later that no newer seal was removed.

    :param destination: URL below which the packages' folders lie. (templated)
    :param signing_conn_id: the Airflow connection whose password is the private key that signs. (templated)
    :param timestamp_url: URL of a time stamp authority (RFC 3161) that stamps the seal; None for no time stamp. Needs
        the extra ``custody``. (templated)
    :param public_keys: PEM texts of keys that signed before this one. (templated)
    :param allow_unsigned: seal documents without a signature, for an archive that was begun before it was signed.
    :param max_parallel: how many packages are looked at side by side.
    :return: ``number``, ``sha256`` and ``time`` of the seal, what it holds, and at most 100 ``differences``; also when
        the task fails for them.
    """

    template_fields: Sequence[str] = ("destination", "signing_conn_id", "timestamp_url", "public_keys")
    operator_extra_links = (StoredCopiesLink(),)
    ui_color = "#e3e3f4"

    def __init__(
        self,
        *,
        destination: str,
        signing_conn_id: str,
        timestamp_url: str | None = None,
        public_keys: Sequence[str] = (),
        allow_unsigned: bool = False,
        max_parallel: int = 4,
        **kwargs: Any,
    ) -> None:
        require_not_none(destination, "destination")
        require_not_none(signing_conn_id, "signing_conn_id")
        require_bool(allow_unsigned, "allow_unsigned")
        require_int(max_parallel, "max_parallel", minimum=1)
        super().__init__(**kwargs)
        self.destination = destination
        self.signing_conn_id = signing_conn_id
        self.timestamp_url = timestamp_url
        self.timestamps_wanted = timestamp_url is not None
        self.public_keys = public_keys
        self.allow_unsigned = allow_unsigned
        self.max_parallel = max_parallel

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Seal the archive.

        :param context: Airflow's context.
        :return: the seal.
        :raises InvalidArgumentError: for an argument that is empty or malformed.
        :raises SigningKeyError: when there is no usable key.
        :raises SealError: when the seals that are there cannot be relied on; nothing is sealed.
        :raises SealConflictError: when another sealer was first; nothing is sealed, and a retry helps.
        :raises TimestampError: when the time stamp authority fails; nothing is sealed.
        :raises VerificationError: when something differs; the rest is sealed, and the XCom is pushed before.
        """
        from airflow_provider_iinked.custody.keys import load_public_keys
        from airflow_provider_iinked.custody.sealer import SealOptions, seal_archive
        from airflow_provider_iinked.custody.signing_connection import load_connection_keys
        from airflow_provider_iinked.custody.store_archive import StoreArchive
        from airflow_provider_iinked.custody.timestamp import timestamp_authority
        from airflow_provider_iinked.exceptions import VerificationError

        key, earlier = load_connection_keys(self.signing_conn_id)
        keys = [self.public_keys] if isinstance(self.public_keys, str) else list(self.public_keys)
        options = SealOptions(
            public_keys=[*earlier, *(load_public_keys(*keys) if keys else [])],
            request_timestamp=timestamp_authority(str(self.timestamp_url)) if self.timestamps_wanted else None,
            allow_unsigned=self.allow_unsigned,
            max_parallel=self.max_parallel,
        )
        archive = StoreArchive.at(self.destination)
        push_links(context, self, None, archive.destination)
        sealed = seal_archive(archive, key, options)
        result = sealed.as_dict()
        result["differences"] = result["differences"][:MAX_DIFFERENCES]
        self.log.info("Seal %d of %s: %s", sealed.seal.number, archive.destination, sealed.sha256)
        if not sealed.differences:
            return result
        if ti := context.get("ti"):
            ti.xcom_push(key="return_value", value=result)
        named = "; ".join(str(difference) for difference in sealed.differences[:_NAMED])
        raise VerificationError(
            f"{len(sealed.differences)} differences below {archive.destination} were not sealed: {named}. The rest is "
            f"sealed in seal {sealed.seal.number}. Look who changed what; the log names all."
        )
