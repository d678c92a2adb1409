"""``erase``, ``hold`` and ``release``: removing a copy on purpose, and keeping it from being removed."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from typing import Any, Final

from airflow_provider_iinked.arguments import check_id
from airflow_provider_iinked.custody.commands.options import (
    DESTINATION,
    DIFFERENT,
    FINE,
    JSON,
    NOT_DONE,
    PUBLIC_KEY,
    REASON,
    SIGNING_CONN_ID,
    SIGNING_KEY,
    Command,
    Option,
    option,
    packages_of,
    signing_keys_of,
)
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError


def erase(given: argparse.Namespace) -> int:
    """
    Erase one copy on purpose.

    :param given: the parsed arguments.
    :return: the exit code.
    """
    from airflow_provider_iinked.custody.signing import DocumentSigner
    from airflow_provider_iinked.custody.tombstone import erase_copy
    from airflow_provider_iinked.storage import open_store
    from airflow_provider_iinked.storage.layout import Layout, copies_of
    from airflow_provider_iinked.storage.url import check_destination

    keys = signing_keys_of(given)
    if not given.yes:
        folder = Layout.of(check_destination(given.destination), check_id(given.package, "package")).folder
        copies = copies_of(open_store(folder).list_names(folder), check_id(given.video, "video"), quarantined=True)
        would = f"Would erase from {folder}: {', '.join(copies) or 'nothing'}. Nothing was erased; add --yes to do it."
        print(json.dumps({"erased": False, "would_erase": copies}) if given.json else would)
        return NOT_DONE
    tombstone = erase_copy(
        given.destination,
        given.package,
        given.video,
        reason=given.reason,
        erased_by=_user(),
        signer=DocumentSigner(*keys) if keys else None,
    )
    removed = f"Erased: {', '.join(tombstone['removed']) or 'nothing was there any more'}."
    print(json.dumps({"erased": True, **tombstone}, indent=2) if given.json else removed)
    return FINE


def hold(given: argparse.Namespace) -> int:
    """
    Place a legal hold on packages.

    :param given: the parsed arguments.
    :return: the exit code: 1 when a deletion that was requested before a hold has not ended.
    """
    from airflow_provider_iinked.custody.hold import place_hold

    placed, failed = [], False
    for package in _packages(given):
        try:
            done = place_hold(given.destination, package, reason=given.reason, held_by=_user())
        except IinkedSignError as error:
            failed, done = True, {"package_id": package, "hold_id": None, "error": str(error)}
        placed.append(done)
        if not given.json:
            print(_held_words(done) + (_unknown_words(given.destination, package) if done["hold_id"] else ""))
    if given.json:
        print(json.dumps(placed, indent=2))
    return DIFFERENT if failed or any(done.get("under_way") for done in placed) else FINE


def _held_words(done: dict[str, Any]) -> str:
    if done["hold_id"] is None:
        return f"Package {done['package_id']} is NOT held: {done['error']}"
    words = f"Package {done['package_id']} is held: {done['hold_id']}"
    if done["under_way"]:
        words += f". Requested before the hold, and without a result yet: {', '.join(done['under_way'])}"
    return words


def _unknown_words(destination: str, package: str) -> str:
    """A hold of a package that has nothing yet is meant, or its id is mistyped: say so."""
    from airflow_provider_iinked.storage import open_store
    from airflow_provider_iinked.storage.layout import Kind, ids_of
    from airflow_provider_iinked.storage.url import check_destination, join

    folder = join(check_destination(destination), package)
    names = open_store(folder).list_names(folder)
    if any(ids_of(names, kind) for kind in (Kind.COPY, Kind.RECORD, Kind.RECEIPT, Kind.TOMBSTONE)):
        return ""
    return ". There is nothing of this package below the destination yet; make sure that its id is right"


def release(given: argparse.Namespace) -> int:
    """
    Release a legal hold.

    :param given: the parsed arguments.
    :return: the exit code.
    """
    from airflow_provider_iinked.custody.hold import release_hold

    packages = _packages(given)
    if given.hold and len(packages) > 1:
        raise InvalidArgumentError("--hold names a hold of one package. Nothing was changed; name one --package.")
    released = []
    for package in packages:
        done = release_hold(given.destination, package, reason=given.reason, hold_id=given.hold, released_by=_user())
        released.append(done)
        if not given.json:
            others = done["held_by_others"]
            rest = f"; still held by {', '.join(others)}" if others else ""
            print(f"Package {package}: hold {done['hold_id']} is released{rest}.")
    if given.json:
        print(json.dumps(released, indent=2))
    return FINE


def _packages(given: argparse.Namespace) -> list[str]:
    packages = packages_of(given)
    if packages is None:
        raise InvalidArgumentError("--package is missing. Nothing was changed.")
    return packages


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())  # a container may run as a user without a name


_WHICH: Final = Option(
    ("--package",), {"action": "append", "required": True, "metavar": "ID", "help": "the package; may be repeated"}
)

ERASE: Final = Command(
    "erase",
    "erase one copy on purpose and leave a tombstone that says why",
    erase,
    (
        DESTINATION,
        option("package", help="id of the package"),
        option("video", help="id of the recording"),
        REASON,
        option("--yes", action="store_true", help="do it; without this it only says what would go"),
        SIGNING_KEY,
        SIGNING_CONN_ID,
        PUBLIC_KEY,
        JSON,
    ),
)
HOLD: Final = Command(
    "hold",
    "keep everything of a package from being deleted or erased",
    hold,
    (DESTINATION, _WHICH, REASON, JSON),
)
RELEASE: Final = Command(
    "release",
    "end a hold",
    release,
    (DESTINATION, _WHICH, REASON, option("--hold", metavar="ID", help="which, where a package has several"), JSON),
)
