"""``seal``, ``export`` and ``report``: what others rest on later."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.custody.commands.options import (
    DESTINATION,
    DIFFERENT,
    FINE,
    JSON,
    MAX_PARALLEL,
    PACKAGE,
    PUBLIC_KEY,
    SIGNING_CONN_ID,
    SIGNING_KEY,
    TRUST,
    Command,
    certificates_of,
    option,
    packages_of,
    parallel_of,
    public_keys_of,
    signing_keys_of,
)
from airflow_provider_iinked.custody.commands.progress import progress_bar, watched
from airflow_provider_iinked.custody.commands.verify import audit_with_progress, plain, print_audit
from airflow_provider_iinked.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.audit import AuditResult
    from airflow_provider_iinked.custody.store_archive import StoreArchive


def seal(given: argparse.Namespace) -> int:
    """
    Seal what is new and what has changed.

    :param given: the parsed arguments.
    :return: the exit code.
    """
    from airflow_provider_iinked.custody.sealer import SealOptions, seal_archive
    from airflow_provider_iinked.custody.store_archive import StoreArchive
    from airflow_provider_iinked.custody.timestamp import timestamp_authority

    keys = signing_keys_of(given)
    if keys is None:
        raise InvalidArgumentError("Give --signing-key or --signing-conn-id. Nothing was sealed.")
    key, earlier = keys
    options = SealOptions(
        public_keys=earlier,
        request_timestamp=timestamp_authority(given.timestamp_url) if given.timestamp_url else None,
        allow_unsigned=given.allow_unsigned,
        max_parallel=parallel_of(given),
    )
    with watched(StoreArchive.at(given.destination)) as archive:
        result = seal_archive(archive, key, options)
    if given.json:
        print(json.dumps(result.as_dict(), indent=2))
    else:
        for difference in result.differences:
            print(f"Not sealed: {difference.path}: {difference.kind}: {plain(difference.text)}")
        changes = ", ".join(f"{count} {name}" for name, count in result.seal.changes.items() if count)
        print(f"Seal {result.seal.number} holds {result.seal.documents} documents ({changes or 'nothing new'}).")
        if result.clock_was_behind:
            print(f"The clock is behind the seal before; the seal bears its time, {result.seal.time}. Set it right.")
        print(f"{result.files_read} files were read, {result.bytes_read} bytes.")
        print(f"Keep its digest elsewhere: {result.sha256}")
    return DIFFERENT if result.differences else FINE


def export(given: argparse.Namespace) -> int:
    """
    Write a bundle that others can check.

    :param given: the parsed arguments.
    :return: the exit code.
    """
    from airflow_provider_iinked.custody.bundle import BundleOptions, export_bundle
    from airflow_provider_iinked.custody.store_archive import StoreArchive

    packages = packages_of(given)
    options = BundleOptions(
        packages=frozenset(packages) if packages is not None else None,
        tsa_certificates=certificates_of(given),
        expected_seal=given.last_seal,
        max_parallel=parallel_of(given),
    )
    keys = public_keys_of(given, required=True)
    with watched(StoreArchive.at(given.destination), len(packages) if packages is not None else None) as archive:
        result = export_bundle(archive, Path(given.out), keys, options)
    if given.json:
        print(json.dumps({"bundle": given.out, "audit": result.as_dict()}, indent=2))
    else:
        print_audit(result)
        print(f"The bundle is in {given.out}: {result.recordings} recordings. It says itself how to check it.")
    return FINE if result.is_intact else DIFFERENT


def report(given: argparse.Namespace) -> int:
    """
    Write the report for people.

    :param given: the parsed arguments.
    :return: the exit code.
    """
    from airflow_provider_iinked.custody.archive_paths import is_package_folder
    from airflow_provider_iinked.custody.audit import AuditOptions
    from airflow_provider_iinked.custody.examine import Reading
    from airflow_provider_iinked.custody.recordings import read_recordings
    from airflow_provider_iinked.custody.report import write_report
    from airflow_provider_iinked.custody.store_archive import StoreArchive

    archive, wanted, keys = StoreArchive.at(given.destination), packages_of(given), public_keys_of(given)
    if not keys and (given.last_seal or given.tsa_certificate):
        raise InvalidArgumentError("--last-seal and --tsa-certificate need --public-key. Nothing was written.")
    if keys:
        options = AuditOptions(
            expected_seal=given.last_seal,
            tsa_certificates=certificates_of(given),
            reading=Reading.DOCUMENTS,
            packages=frozenset(wanted) if wanted is not None else None,
            max_parallel=parallel_of(given),
        )
        result = audit_with_progress(archive.destination, keys, options)
    else:
        result = _compare_only(archive.destination, wanted, parallel_of(given))
    packages = wanted if wanted is not None else [name for name in archive.folders() if is_package_folder(name)]
    title = archive.destination.partition("://")[2].rpartition("@")[2]
    page = write_report(
        read_recordings(archive, packages),
        result,
        title=title,
        now=datetime.now(UTC),
        signatures_verified=bool(keys),
        held=_held(archive, packages),
    )
    _write_whole(Path(given.output), page.encode("utf-8"))
    summary: dict[str, Any] = {"report": given.output, "recordings": result.recordings, "intact": result.is_intact}
    words = f"{len(result.differences) or 'No'} differences. The report is in {given.output}."
    print(json.dumps({**summary, "differences": len(result.differences)}, indent=2) if given.json else words)
    if not packages:
        print(f"There is nothing below {archive.destination}: no record, no copy.", file=sys.stderr)
    return FINE if result.is_intact and packages else DIFFERENT


def _compare_only(destination: str, packages: list[str] | None, max_parallel: int) -> AuditResult:
    """What can be said without a public key: copies and records, by the store's validators where it gives any."""
    from airflow_provider_iinked.custody.audit import AuditResult
    from airflow_provider_iinked.custody.differences import DifferenceKind
    from airflow_provider_iinked.custody.finding import Status
    from airflow_provider_iinked.custody.verify import Verifier

    kinds = {
        Status.CHANGED: DifferenceKind.COPY_CHANGED,
        Status.MISSING: DifferenceKind.COPY_MISSING,
        Status.UNRECORDED: DifferenceKind.UNRECORDED,
        Status.UNREADABLE: DifferenceKind.MALFORMED,
    }
    result = AuditResult()
    verifier = Verifier(destination, package_ids=packages, recheck="metadata", max_parallel=max_parallel)
    with progress_bar("recordings") as advance:
        for found in verifier.findings():
            path = f"{found.package_id}/{found.meeting_video_id}"
            result.recordings += found.status is not Status.NO_COPY
            result.copies += found.status is Status.OK
            if found.status is Status.ERASED:
                result.erased.append(path)
            elif found.is_difference:
                result.differs(kinds[found.status], path, "; ".join(found.problems))
            advance()
    return result


def _held(archive: StoreArchive, packages: list[str]) -> list[str]:
    from airflow_provider_iinked.storage.layout import holds_of

    return [package for package in packages if holds_of(info.name for info in archive.files(package))]


def _write_whole(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


SEAL: Final = Command(
    "seal",
    "seal what is new or has changed since the last seal, and sign the seal",
    seal,
    (
        DESTINATION,
        SIGNING_KEY,
        SIGNING_CONN_ID,
        PUBLIC_KEY,
        option("--timestamp-url", metavar="URL", help="time stamp authority (RFC 3161) that stamps the seal"),
        option(
            "--allow-unsigned",
            action="store_true",
            help="seal documents without a signature, for an archive that was begun before it was signed",
        ),
        MAX_PARALLEL,
        JSON,
    ),
)
EXPORT: Final = Command(
    "export",
    "write recordings, records, signatures and seals as a bundle (BagIt) that others can check",
    export,
    (
        DESTINATION,
        option("out", help="folder of the bundle; must not exist"),
        PACKAGE,
        *TRUST,
        MAX_PARALLEL,
        JSON,
    ),
)
REPORT: Final = Command(
    "report",
    "write a page for people: what was copied, deleted, erased and held, and what needs attention",
    report,
    (
        DESTINATION,
        option("-o", "--output", required=True, metavar="FILE", help="the page; a file that is there is replaced"),
        PACKAGE,
        *TRUST,
        MAX_PARALLEL,
        JSON,
    ),
)
