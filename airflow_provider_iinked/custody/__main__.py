"""``python -m airflow_provider_iinked.custody``: verify stored copies, or erase one on purpose."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import sys
from collections.abc import Sequence

from airflow_provider_iinked.arguments import RECHECKS, check_id, require_int
from airflow_provider_iinked.custody.finding import Verification
from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.storage import open_store
from airflow_provider_iinked.storage.layout import copies_of
from airflow_provider_iinked.storage.url import check_destination, join

_COLUMNS = ("package", "recording", "copy", "source", "what")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: the command line, without the program's name.
    :return: 0 when all is well, 1 on any difference or failure, 2 when nothing was done for want of a word.
    """
    given = _parser().parse_args(arguments)
    logger = logging.getLogger("airflow_provider_iinked")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # the table says it all
    try:
        return int(given.run(given))
    except IinkedSignError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        logger.setLevel(level)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_iinked.custody", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    place = "URL as given to the download, such as s3://conn_id@bucket/prefix or file:///data/recordings"
    verify = commands.add_parser("verify", help="read every copy again and compare it with its custody record")
    verify.add_argument("destination", help=place)
    verify.add_argument("--package", action="append", metavar="ID", help="only this package; may be repeated")
    verify.add_argument(
        "--recheck",
        choices=RECHECKS,
        default=RECHECKS[0],
        help="sha256 reads the copies, metadata compares size and the store's validator (default: %(default)s)",
    )
    verify.add_argument("--max-parallel", type=int, default=4, metavar="N", help="copies read at a time (4)")
    verify.add_argument("--json", action="store_true", help="print JSON instead of a table")
    verify.set_defaults(run=_verify)
    erase = commands.add_parser("erase", help="erase one copy on purpose and leave a tombstone that says why")
    erase.add_argument("destination", help=place)
    erase.add_argument("package", help="id of the package")
    erase.add_argument("video", help="id of the recording")
    erase.add_argument("--reason", required=True, help="why; it stands in the tombstone")
    erase.add_argument("--yes", action="store_true", help="do it; without this it only says what would go")
    erase.set_defaults(run=_erase)
    return parser


def _verify(given: argparse.Namespace) -> int:
    packages = [check_id(package, "--package") for package in given.package] if given.package else None
    parallel = require_int(given.max_parallel, "--max-parallel", minimum=1)
    found = verify_copies(given.destination, package_ids=packages, recheck=given.recheck, max_parallel=parallel)
    if given.json:
        findings = [finding.as_dict() for finding in found.findings]
        print(json.dumps({"destination": found.destination, "counts": found.counts, "findings": findings}, indent=2))
    else:
        print(table(found))
    if not found.findings:
        print(f"There is nothing below {found.destination}: no record, no copy.", file=sys.stderr)
    return 1 if found.differences or not found.findings else 0


def _erase(given: argparse.Namespace) -> int:
    if not given.yes:
        folder = join(check_destination(given.destination), check_id(given.package, "package"))
        copies = copies_of(open_store(folder).list_names(folder), check_id(given.video, "video"), quarantined=True)
        print(f"Would erase from {folder}: {', '.join(copies) or 'nothing'}. Nothing was erased; add --yes to do it.")
        return 2
    tombstone = erase_copy(given.destination, given.package, given.video, reason=given.reason, erased_by=_user())
    print(f"Erased: {', '.join(tombstone['removed']) or 'nothing was there any more'}.")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())  # a container may run as a user without a name


def table(found: Verification) -> str:
    """
    Set findings out as a table.

    :param found: what was found.
    :return: lines of text; the last one counts.
    """
    rows = [_COLUMNS] + [
        (f.package_id, f.meeting_video_id, str(f.status), f.source, "; ".join(f.problems)) for f in found.findings
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items())
    return "\n".join([*lines, "", f"{len(found.findings)} recordings: {counts or 'none'}"])


if __name__ == "__main__":
    sys.exit(main())
