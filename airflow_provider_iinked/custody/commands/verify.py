"""``verify``: compare every copy with its custody record, and with a public key signatures and seals as well."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.arguments import RECHECKS, require_int
from airflow_provider_iinked.custody.commands.options import (
    DESTINATION,
    DIFFERENT,
    FINE,
    JSON,
    MAX_PARALLEL,
    PACKAGE,
    TRUST,
    Command,
    certificates_of,
    option,
    packages_of,
    parallel_of,
    public_keys_of,
)
from airflow_provider_iinked.custody.commands.progress import progress_bar, watched
from airflow_provider_iinked.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.audit import AuditOptions, AuditResult
    from airflow_provider_iinked.custody.finding import Finding, Status
    from airflow_provider_iinked.custody.keys import PublicKey
    from airflow_provider_iinked.custody.verify import Budget, Verifier

_COLUMNS: Final = ("package", "recording", "copy", "source", "what")
_WIDTHS: Final = (36, 36, 10, 11, 0)


class _Table:
    """Rows as they come."""

    def begin(self, destination: str) -> None:
        print(_row(_COLUMNS))

    def add(self, found: Finding) -> None:
        print(
            _row(
                (
                    found.package_id,
                    found.meeting_video_id,
                    str(found.status),
                    found.source,
                    "; ".join(found.problems),
                )
            )
        )

    def end(self, counts: dict[str, int], held: list[str], audit: AuditResult | None) -> None:
        print()
        if audit is not None:
            print_audit(audit)
        if held:
            print(f"Under legal hold: {', '.join(held)}")
        parts = ", ".join(f"{count} {status}" for status, count in counts.items())
        print(f"{sum(counts.values())} recordings: {parts or 'none'}")


class _Json:
    """One JSON object, written as its parts come."""

    def __init__(self) -> None:
        self._first = True

    def begin(self, destination: str) -> None:
        print(f'{{"destination": {json.dumps(destination)},\n "findings": [', end="")

    def add(self, found: Finding) -> None:
        print(("" if self._first else ",") + "\n  " + json.dumps(found.as_dict()), end="")
        self._first = False

    def end(self, counts: dict[str, int], held: list[str], audit: AuditResult | None) -> None:
        more: dict[str, Any] = {"counts": counts, "held": held}
        if audit is not None:
            more["audit"] = audit.as_dict()
        print(f"],\n {json.dumps(more)[1:]}")


def run(given: argparse.Namespace) -> int:
    """
    Run it.

    :param given: the parsed arguments.
    :return: the exit code.
    """
    from airflow_provider_iinked.custody.finding import count_by_status
    from airflow_provider_iinked.custody.verify import Budget, Verifier

    budget = Budget(
        None if given.max_bytes is None else require_int(given.max_bytes, "--max-bytes", minimum=1),
        None if given.max_seconds is None else require_int(given.max_seconds, "--max-seconds", minimum=1),
    )
    keys, options = public_keys_of(given), _audit_options(given, budget)
    verifier = Verifier(
        given.destination,
        package_ids=packages_of(given),
        recheck=given.recheck,
        max_parallel=parallel_of(given),
        budget=budget,
    )
    output = _Json() if given.json else _Table()
    output.begin(verifier.destination)
    counts = _print_findings(verifier, output)
    audit = audit_with_progress(verifier.destination, keys, options) if keys else None
    output.end(count_by_status(counts.elements()), verifier.held, audit)
    if not counts:
        print(f"There is nothing below {verifier.destination}: no record, no copy.", file=sys.stderr)
    fine = counts and verifier.differences == 0 and (audit is None or audit.is_intact)
    return FINE if fine else DIFFERENT


def _print_findings(verifier: Verifier, output: _Table | _Json) -> Counter[Status]:
    counts: Counter[Status] = Counter()
    with progress_bar("recordings") as advance, contextlib.closing(verifier.findings()) as findings:
        for found in findings:
            counts[found.status] += 1
            output.add(found)
            advance()
    return counts


def _audit_options(given: argparse.Namespace, budget: Budget) -> AuditOptions:
    from airflow_provider_iinked.custody.audit import AuditOptions
    from airflow_provider_iinked.custody.examine import Reading

    if not given.public_key and (given.last_seal or given.tsa_certificate):
        raise InvalidArgumentError("--last-seal and --tsa-certificate need --public-key. Nothing was verified.")
    packages = packages_of(given)
    return AuditOptions(
        expected_seal=given.last_seal,
        tsa_certificates=certificates_of(given),
        # The copies were read a moment ago, and compared with the records that are verified now.
        reading=Reading.CHANGED if budget.is_limited else Reading.DOCUMENTS,
        packages=frozenset(packages) if packages is not None else None,
        max_parallel=parallel_of(given),
    )


def audit_with_progress(destination: str, keys: list[PublicKey], options: AuditOptions) -> AuditResult:
    """
    Verify signatures and seals, with a bar on a terminal.

    :param destination: the destination.
    :param keys: the trusted public keys.
    :param options: how.
    :return: what was found.
    """
    from airflow_provider_iinked.custody.audit import audit_archive
    from airflow_provider_iinked.custody.store_archive import StoreArchive

    packages = len(options.packages) if options.packages is not None else None
    with watched(StoreArchive.at(destination), packages) as archive:
        return audit_archive(archive, keys, options)


def print_audit(audit: AuditResult) -> None:
    """
    Print what verifying signatures and seals found.

    :param audit: what was found.
    """
    for difference in audit.differences:
        print(f"{difference.path}: {difference.kind}: {plain(difference.text)}")
    last = audit.last_seal
    newest = f"; the newest is {last.seal.number}, made at {last.seal.time}, digest {last.sha256}" if last else ""
    print(f"{audit.seals} {'seal' if audit.seals == 1 else 'seals'} verified{newest}")
    if audit.timestamps and not audit.authority_verified:
        print("The time stamps' authority was not verified: give --tsa-certificate.")
    if audit.unsealed:
        print(f"Signed since the newest seal: {len(audit.unsealed)} documents.")
    print(f"Signatures and seals: {len(audit.differences) or 'no'} differences")


def _row(cells: tuple[str, ...]) -> str:
    return "  ".join(plain(cell).ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def plain(text: str) -> str:
    """
    Make text safe for a terminal: what a document says must neither move the cursor nor look like another row.

    :param text: the text.
    :return: it, on one line.
    """
    return "".join(sign if sign.isprintable() else " " for sign in text)


VERIFY: Final = Command(
    "verify",
    "compare every copy with its custody record; with a public key, verify signatures and seals as well",
    run,
    (
        DESTINATION,
        PACKAGE,
        option(
            "--recheck",
            choices=RECHECKS,
            default=RECHECKS[0],
            help="sha256 reads the copies, metadata compares size and the store's validator (default: sha256)",
        ),
        option("--max-bytes", type=int, metavar="N", help="end after so many bytes; the next run goes on there"),
        option("--max-seconds", type=int, metavar="N", help="end after so many seconds; the next run goes on there"),
        *TRUST,
        MAX_PARALLEL,
        JSON,
    ),
)
