"""The filters and pages of ``POST /packages/list``."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.simulator.answers import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_iinked.simulator.state import SimPackage

SEARCHED = ("name", "description", "message", "category", "clientNumber", "matterNumber")
SORTS = {"created": "timeCreated", "modified": "timeLastModified", "name": "name"}
DEFAULT_TAKE = 50
TYPES: dict[str, type | tuple[type, ...]] = {
    "memberId": str,
    "teamId": str,
    "folderId": str,
    "allMembers": bool,
    "search": str,
    "types": list,
    "states": list,
    "isExecuted": bool,
    "days": (int, float),
    "sortBy": str,
    "take": int,
    "skip": int,
}


def find(packages: Iterable[SimPackage], body: dict[str, Any], *, member_id: str, now: dt.datetime) -> list[SimPackage]:
    """Packages that a request asks for, sorted, before paging.

    Without ``memberId`` and ``allMembers`` only the caller's own are found. What sorts first is not documented:
    here the oldest, or the first of the alphabet.

    :param packages: all there are.
    :param body: the request's body.
    :param member_id: the caller.
    :param now: the simulator's time.
    """
    for name, kinds in TYPES.items():
        if body.get(name) is not None and not isinstance(body[name], kinds):
            raise ApiError(400, f"package_invalid_{name}", f"The field {name} has the wrong type.")
    found = [package for package in packages if _matches(package.fields, body, member_id, now)]
    sort = SORTS.get(body.get("sortBy") or "")
    return sorted(found, key=lambda package: str(package.fields.get(sort) or "")) if sort else found


def page(found: list[SimPackage], body: dict[str, Any], *, max_take: int) -> tuple[list[SimPackage], int, int]:
    """The requested page, with the ``take`` and ``skip`` that were applied.

    :param found: what ``find`` gave.
    :param body: the request's body.
    :param max_take: cap on ``take``.
    """
    take = body.get("take")
    take = max(0, min(DEFAULT_TAKE if take is None else take, max_take))
    skip = max(0, body.get("skip") or 0)
    return found[skip : skip + take], take, skip


def _matches(fields: dict[str, Any], body: dict[str, Any], member_id: str, now: dt.datetime) -> bool:
    member = body.get("memberId") or (None if body.get("allMembers") else member_id)
    exact = (("memberId", member), ("teamId", body.get("teamId")), ("folderId", body.get("folderId")))
    if any(wanted and fields.get(name) != wanted for name, wanted in exact):
        return False
    if body.get("types") and fields.get("type") not in body["types"]:
        return False
    if body.get("states") and fields.get("state") not in body["states"]:
        return False
    if body.get("isExecuted") is not None and fields.get("isExecuted") != body["isExecuted"]:
        return False
    return _signed_within(fields, body.get("days"), now) and _found(fields, body.get("search"))


def _signed_within(fields: dict[str, Any], days: float | None, now: dt.datetime) -> bool:
    if days is None:
        return True
    if not fields.get("timeSignBy"):
        return False
    sign_by = dt.datetime.fromisoformat(fields["timeSignBy"])
    return now <= sign_by <= now + dt.timedelta(days=days)


def _found(fields: dict[str, Any], search: str | None) -> bool:
    words = re.findall(r"\w+", " ".join(str(fields.get(name) or "") for name in SEARCHED).lower())
    # Both sides are cut into words alike, so that a number such as M-1002 is found as it is written.
    for term, star in re.findall(r"(\w+)(\*?)", (search or "").lower()):
        if not any(word.startswith(term) if star else word == term for word in words):
            return False
    return True
