"""
Legal hold: while one lies in a package's folder, nothing of that package is deleted on the platform, nor erased here.

Each hold is an object of its own, so that two matters that hold one package cannot release each other's hold, and two
people who act at once cannot lose one. Asking again is safe: a task that runs again, and a person who gives the same
reason again, find the hold that is there. A deletion writes its receipt first and looks for holds after that; a hold is
written first and looks for open receipts after that. Whichever comes first, one of the two sees the other: a hold that
was placed knows which deletions were under way, and no other one follows.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final

import pendulum

from airflow_provider_iinked import __version__
from airflow_provider_iinked.arguments import check_id
from airflow_provider_iinked.custody.record import TaskIdentity
from airflow_provider_iinked.exceptions import InvalidArgumentError, LegalHoldError, StorageError
from airflow_provider_iinked.storage import Store, open_store
from airflow_provider_iinked.storage.layout import (
    HOLD_PREFIX,
    Kind,
    Layout,
    folder_of,
    holds_of,
    ids_of,
    name_of,
    parse,
    quarantined,
)
from airflow_provider_iinked.storage.url import check_destination, join

HOLD_FORMAT: Final = 1
SETTLE_FOR: Final = 60.0
"""Seconds for which a new hold waits until deletions that were under way have ended."""
_POLL: Final = 1.0
_TASK: Final = ("dag_id", "run_id", "task_id", "map_index")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hold:
    """
    One hold of a package.

    :param hold_id: names it among the package's holds.
    :param reason: why.
    :param held_by: who placed it, or None.
    :param held_at: ISO 8601 time.
    """

    hold_id: str
    reason: str
    held_by: str | None
    held_at: str | None


def place_hold(
    destination: str,
    package_id: str,
    *,
    reason: str,
    held_by: str | None = None,
    task: TaskIdentity | None = None,
    settle_for: float = SETTLE_FOR,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """
    Place a hold on a package, or find the one that was placed by this very task, or by this person for this reason.

    It returns when no deletion is under way any more.

    :param destination: URL below which the package's folder lies.
    :param package_id: the package; nothing of it needs to be there yet.
    :param reason: why, such as the name of a matter.
    :param held_by: who asks for it.
    :param task: the running task, if there is one.
    :param settle_for: seconds to wait for deletions that are under way.
    :param sleep: waits between two looks; a test may replace it.
    :return: ``hold_id``, ``package_id``, and ``under_way``: recordings whose deletion or erasure had been requested
        before the hold and had not ended when the wait was over.
    :raises InvalidArgumentError: for a malformed id or destination, or a blank reason; nothing is written.
    :raises StorageError: when it cannot be written; the package is not held then.
    """
    store, layout = _open(destination, package_id)
    value = {
        "format": HOLD_FORMAT,
        "package_id": package_id,
        "reason": _check_reason(reason),
        "held_by": held_by,
        "held_at": _now(),
        **asdict(task or TaskIdentity()),
        "provider_version": __version__,
    }
    hold_id = _find_same(store, layout, value)
    if hold_id is not None:
        log.info("Package %s is held already (%s): %s", package_id, hold_id, value["reason"])
    else:
        hold_id = _write_hold(store, layout, value)
        log.info("Package %s is held (%s): %s", package_id, hold_id, value["reason"])
    _await_listed(store, layout, hold_id, settle_for, sleep)
    open_since = time.monotonic()
    while (left := _under_way(store, layout)) and time.monotonic() - open_since < settle_for:
        log.info("Package %s: waiting for deletions and erasures under way: %s", package_id, ", ".join(left))
        sleep(_POLL)
    if left:
        log.warning("Package %s: requested before the hold, and without a result: %s", package_id, ", ".join(left))
    return {"hold_id": hold_id, "package_id": package_id, "under_way": left}


def release_hold(
    destination: str,
    package_id: str,
    *,
    reason: str,
    hold_id: str | None = None,
    released_by: str | None = None,
    task: TaskIdentity | None = None,
) -> dict[str, Any]:
    """
    Release a hold. What it was, and why it was released, stays in the package's folder.

    A hold that is named and was released before, or that this very task released before, is no error.

    :param destination: URL below which the package's folder lies.
    :param package_id: the package.
    :param reason: why it is released.
    :param hold_id: which hold; None where the package has one only.
    :param released_by: who asks for it.
    :param task: the running task, if there is one.
    :return: ``hold_id``, ``package_id``, and ``held_by_others``: ids of the holds that remain.
    :raises InvalidArgumentError: for a malformed id or destination, or a blank reason; nothing is changed.
    :raises LegalHoldError: when there is no such hold, or several and none was named; nothing is changed.
    :raises StorageError: when the storage fails; the hold remains then.
    """
    store, layout = _open(destination, package_id)
    why = _check_reason(reason)
    found = _find_in_all_folders(store, layout)
    holds = {hold.hold_id: Layout(folder) for folder, there in found.items() for hold in there}
    released = (_released_before(store, Layout(folder), hold_id, task) for folder in found)
    before = next(filter(None, released), None) if hold_id not in holds else None
    if before is not None:
        log.info("Package %s: hold %s was released before.", package_id, before)
        return {"hold_id": before, "package_id": package_id, "held_by_others": sorted(holds)}
    chosen = _choose(package_id, holds, hold_id)
    url = holds[chosen].hold(chosen)
    _, value = store.read_json(url)
    closed = {
        **(value if isinstance(value, dict) else {}),
        "released_at": _now(),
        "released_by": released_by,
        "release_reason": why,
        "released_in": asdict(task or TaskIdentity()),
    }
    # The object still holds the package while it lies there; a kill in between leaves the hold in force.
    store.replace_json(url, closed, durable=True)
    store.rename_no_replace(url, quarantined(url, pendulum.now("UTC")))
    log.info("Package %s: hold %s is released: %s", package_id, chosen, why)
    return {"hold_id": chosen, "package_id": package_id, "held_by_others": sorted(holds.keys() - {chosen})}


def find_holds(store: Store, layout: Layout) -> list[Hold]:
    """
    Find the holds of a package.

    :param store: the storage.
    :param layout: the package's folder.
    :return: its holds; one that cannot be read holds all the same.
    :raises StorageError: when the folder cannot be listed; nothing may be deleted then.
    """
    found = []
    for hold_id in holds_of(store.list_names(layout.folder, HOLD_PREFIX)):
        _, value = store.read_json(layout.hold(hold_id))
        found.append(_read(hold_id, value))
    return sorted(found, key=lambda hold: hold.hold_id)


def check_not_held(store: Store, layout: Layout) -> None:
    """
    Refuse to go on with a package that is held, in whichever case the hold spells its id.

    :param store: the storage.
    :param layout: the package's folder.
    :raises LegalHoldError: when it is held.
    :raises StorageError: when that cannot be known; nothing may be deleted then.
    """
    for folder, holds in _find_in_all_folders(store, layout).items():
        if holds:
            named = "; ".join(f"{hold.hold_id} since {hold.held_at}: {hold.reason}" for hold in holds)
            raise LegalHoldError(
                f"package {name_of(folder)} is under legal hold ({named}). Nothing of it is deleted or erased. "
                "`custody release` ends a hold"
            )


def _find_in_all_folders(store: Store, layout: Layout) -> dict[str, list[Hold]]:
    """Find the holds in each folder of a package, side by side: requests wait for this, and this for the store."""
    own, *others = package_folders(layout.folder)
    pool = ThreadPoolExecutor(len(others) or 1, thread_name_prefix="iinked-holds")
    try:
        looks = {folder: pool.submit(find_holds, store, Layout(folder)) for folder in others}
        return {own: find_holds(store, Layout(own))} | {folder: look.result() for folder, look in looks.items()}
    finally:
        pool.shutdown(wait=False)


def package_folders(folder: str) -> list[str]:
    """
    Name the folders that a package may have: ids that differ by case alone are one package.

    :param folder: the package's folder, as somebody spelt it.
    :return: this folder first, then those in lower and upper case.
    """
    above, package_id = folder_of(folder), name_of(folder)
    return [f"{above}/{spelling}" for spelling in dict.fromkeys((package_id, package_id.lower(), package_id.upper()))]


def _open(destination: str, package_id: str) -> tuple[Store, Layout]:
    folders = package_folders(Layout.of(check_destination(destination), check_id(package_id, "package_id")).folder)
    store = open_store(folders[0])
    found = next((folder for folder in folders if store.list_names(folder)), None)
    if found is None:
        log.warning("There is nothing of package %s yet. Check its spelling.", package_id)
    return store, Layout(found or folders[0])


def _find_same(store: Store, layout: Layout, wanted: Mapping[str, Any]) -> str | None:
    """Find a hold in force that this request has placed before."""
    for hold_id in holds_of(store.list_names(layout.folder, HOLD_PREFIX)):
        _, value = store.read_json(layout.hold(hold_id))
        # One whose release was cut short is on its way out, and no hold to rely on.
        if isinstance(value, dict) and not value.get("released_at") and _origin(value) == _origin(wanted):
            return hold_id
    return None


def _origin(hold: Mapping[str, Any]) -> tuple[Any, ...]:
    """Say what tells one request for a hold from another: the task of a run, else who and why."""
    if hold.get("run_id"):
        return tuple(hold.get(name) for name in _TASK)
    return "by hand", hold.get("held_by"), hold.get("reason")


def _write_hold(store: Store, layout: Layout, value: Mapping[str, Any]) -> str:
    # Tries of one task that run at once agree on the name; whoever has no run gets a name of its own.
    text = "\n".join(map(str, _origin(value))) if value.get("run_id") else os.urandom(8).hex()
    for hold_id in (hashlib.sha256(text.encode()).hexdigest()[:8], os.urandom(4).hex()):
        if store.create_json(layout.hold(hold_id), {**value, "hold_id": hold_id}, durable=True):
            return hold_id
        if _find_same(store, layout, value) == hold_id:
            return hold_id
    raise StorageError(f"The names of new holds at {layout.folder} are taken. Nothing was written; try again.")


def _await_listed(
    store: Store, layout: Layout, hold_id: str, settle_for: float, sleep: Callable[[float], None]
) -> None:
    """
    Wait until a listing shows a hold, and as long again: a receipt that was written meanwhile is listed then, too.

    Most stores list at once what is there; the listings of some lag behind.
    """
    began, looks = time.monotonic(), 0
    while hold_id not in holds_of(store.list_names(layout.folder, HOLD_PREFIX)):
        if time.monotonic() - began >= settle_for:
            log.warning("%s does not list hold %s yet; deletions see it when it does.", layout.folder, hold_id)
            return
        sleep(_POLL)
        looks += 1
    if looks:
        sleep(looks * _POLL)


def _released_before(store: Store, layout: Layout, hold_id: str | None, task: TaskIdentity | None) -> str | None:
    """Find a hold that was released before: the one that is named, else the one that this very task released."""
    for name in store.list_names(layout.folder, HOLD_PREFIX):
        entry = parse(name)
        if entry is None or entry.kind is not Kind.HOLD or not entry.quarantined:
            continue
        if hold_id == entry.nonce:
            return hold_id
        if hold_id is None and task is not None and task.run_id:
            _, value = store.read_json(join(layout.folder, name))
            by = value.get("released_in") if isinstance(value, dict) else None
            if isinstance(by, dict) and all(by.get(name) == getattr(task, name) for name in _TASK):
                return entry.nonce
    return None


def _check_reason(reason: object) -> str:
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidArgumentError("reason must say why. Nothing was changed.")
    return reason.strip()


def _choose(package_id: str, holds: Mapping[str, Layout], hold_id: str | None) -> str:
    if hold_id is None and len(holds) == 1:
        return next(iter(holds))
    if hold_id is not None and hold_id in holds:
        return hold_id
    known = ", ".join(holds) or "none"
    what = f"has no hold {hold_id}" if hold_id is not None else f"has {len(holds)} holds"
    raise LegalHoldError(f"package {package_id} {what} (holds: {known}). Nothing was changed; name one of its holds")


def _under_way(store: Store, layout: Layout) -> list[str]:
    """Recordings whose deletion or erasure was requested and has no result yet."""
    urls = []
    for place in map(Layout, package_folders(layout.folder)):
        names = store.list_names(place.folder)
        urls += [(video_id, place.receipt(video_id)) for video_id in ids_of(names, Kind.RECEIPT)]
        urls += [(video_id, place.tombstone(video_id)) for video_id in ids_of(names, Kind.TOMBSTONE)]
    found = []
    for video_id, url in urls:
        _, value = store.read_json(url)
        if isinstance(value, dict) and value.get("status") == "requested":
            found.append(video_id)
    return sorted(set(found))


def _read(hold_id: str, value: object) -> Hold:
    fields = value if isinstance(value, dict) else {}
    texts = {name: fields.get(name) for name in ("reason", "held_by", "held_at")}
    known = {name: text if isinstance(text, str) else None for name, text in texts.items()}
    return Hold(hold_id, known["reason"] or "(the hold cannot be read)", known["held_by"], known["held_at"])


def _now() -> str:
    return pendulum.now("UTC").isoformat()
