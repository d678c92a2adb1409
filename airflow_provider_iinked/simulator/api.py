"""The documented API calls: from a request to an answer, without sockets."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.simulator import search
from airflow_provider_iinked.simulator.answers import Answer, ApiError, html_answer, json_answer
from airflow_provider_iinked.simulator.deletion import Deleter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_iinked.simulator.ledger import Ledger, RequestRecord
    from airflow_provider_iinked.simulator.quirks import Quirks
    from airflow_provider_iinked.simulator.state import SimPackage, Store
    from airflow_provider_iinked.simulator.views import Views

BASE = "/api/v1"
NOT_JSON = object()


@dataclasses.dataclass(kw_only=True)
class ApiCall:
    """A request, understood.

    :param name: ``list``, ``delete``, ``packages``, ``get``, ``status`` or ``other`` (no such route).
    :param package_id: package in the path, else in the body.
    :param video_id: video in the body.
    :param path_package_id: package in the path.
    :param body: parsed body; ``NOT_JSON`` where it was none.
    :param allowed: the route's HTTP method; None: there is no such route.
    """

    name: str
    package_id: str | None = None
    video_id: str | None = None
    path_package_id: str | None = None
    body: Any = None
    allowed: str | None = None


def parse(path: str, raw_body: bytes) -> ApiCall:
    """Which call a path and a body mean.

    An empty body is an empty object: a proxy that loses the body of a delete turns it into "delete all", and the
    simulator does not hide that.

    :param path: decoded path, without query.
    :param raw_body: the body.
    """
    call = _route(path)
    try:
        call.body = json.loads(raw_body) if raw_body.strip() else {}
    except ValueError:
        call.body = NOT_JSON
    if isinstance(call.body, dict) and call.name == "delete":
        video_id, package_id = call.body.get("meetingVideoId"), call.body.get("packageId")
        call.video_id = video_id if isinstance(video_id, str) else None
        if call.package_id is None and isinstance(package_id, str):
            call.package_id = package_id
    return call


def _route(path: str) -> ApiCall:
    if not path.startswith(BASE + "/"):
        return ApiCall(name="other")
    match path[len(BASE) + 1 :].split("/"):
        case ["packages", "list"]:
            return ApiCall(name="packages", allowed="POST")
        case ["packages", "videos", "delete"]:
            return ApiCall(name="delete", allowed="POST")
        case ["packages", package_id, "videos", "delete"] if package_id:
            return ApiCall(name="delete", allowed="POST", package_id=package_id, path_package_id=package_id)
        case ["packages", package_id, "videos"] if package_id:
            return ApiCall(name="list", allowed="GET", package_id=package_id, path_package_id=package_id)
        case ["packages", package_id, "status"] if package_id:
            return ApiCall(name="status", allowed="GET", package_id=package_id, path_package_id=package_id)
        case ["packages", package_id] if package_id:
            return ApiCall(name="get", allowed="GET", package_id=package_id, path_package_id=package_id)
    return ApiCall(name="other")


class Api:
    """Answers API calls. The caller holds the simulator's lock.

    :param store: packages and videos.
    :param quirks: departures from the documents.
    :param views: renders answers.
    :param ledger: where deletions are noted.
    :param api_keys: keys that are let in; also taken as bearer tokens.
    :param max_take: cap on ``take`` of the package list.
    """

    def __init__(
        self, store: Store, quirks: Quirks, views: Views, ledger: Ledger, api_keys: set[str], max_take: int
    ) -> None:
        self._store = store
        self._quirks = quirks
        self._views = views
        self._ledger = ledger
        self._api_keys = api_keys
        self._max_take = max_take
        self._deleter = Deleter(store, quirks, views)

    def answer(
        self, call: ApiCall, method: str, headers: Mapping[str, str], record: RequestRecord, **fault: bool
    ) -> Answer:
        """Do what a call asks for.

        :param call: what ``parse`` gave.
        :param method: HTTP method.
        :param headers: the request's headers, names in lower case.
        :param record: the ledger's record of the request.
        :param fault: ``everything`` and ``hide`` of ``Deleter.delete``.
        """
        if call.allowed is None:
            return html_answer("404 Not Found", status=404)
        if call.name == "delete" and self._quirks.delete_paths == ("short" if call.path_package_id else "package"):
            status = self._quirks.missing_path_status
            return html_answer("404 Not Found" if status == 404 else "405 Method Not Allowed", status=status)
        if method != call.allowed:
            return html_answer("405 Method Not Allowed", status=405)
        try:
            self._check(call, headers)
            if call.name == "delete":
                return self._delete(call, record, **fault)
            if call.name == "packages":
                return self._list_packages(call)
            package = self._package(call.package_id or "")
            views = {"list": self._views.videos_answer, "get": self._views.package, "status": self._views.status}
            return json_answer(views[call.name](package))
        except ApiError as error:
            return error.answer()

    def _check(self, call: ApiCall, headers: Mapping[str, str]) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        if headers.get("api_key", bearer) not in self._api_keys:
            status = self._quirks.unauthorized_status
            raise ApiError(status, "not_authorized", "The API key or token is missing or not valid.")
        if call.allowed != "POST":
            return
        if self._quirks.require_content_type and "application/json" not in headers.get("content-type", "").lower():
            raise ApiError(415, "unsupported_media_type", "Content-Type must be application/json.")
        if not isinstance(call.body, dict):
            raise ApiError(400, "invalid_body", "The body is not a JSON object.")

    def _package(self, package_id: str) -> SimPackage:
        package = self._store.find_package(package_id, any_case=self._quirks.case_insensitive_ids)
        if package is None:
            raise ApiError(404, "package_not_found", "The package was not found, or you have no permission.")
        return package

    def _delete(self, call: ApiCall, record: RequestRecord, **fault: bool) -> Answer:
        in_body = call.body.get("packageId")
        video_id = call.body.get("meetingVideoId")
        if in_body is None and not call.path_package_id:
            raise ApiError(400, "package_invalid_packageId", "The field packageId is required.")
        if in_body is not None and not isinstance(in_body, str):
            raise ApiError(400, "package_invalid_packageId", "The field packageId has the wrong type.")
        if call.path_package_id and in_body is not None and not self._same(in_body, call.path_package_id):
            raise ApiError(400, "package_invalid_packageId", "The path and the body name different packages.")
        if video_id is not None and not isinstance(video_id, str):
            raise ApiError(400, "video_invalid_meetingVideoId", "The field meetingVideoId has the wrong type.")
        package = self._package(call.path_package_id or in_body or "")
        deleted = self._deleter.delete(package, video_id, **fault)
        for video in deleted.removed:
            asked = deleted.by_id and video_id is not None and self._same(video_id, video.meeting_video_id)
            self._ledger.deleted(record, package.package_id, video.meeting_video_id, by_id=asked)
        return json_answer(deleted.answer)

    def _list_packages(self, call: ApiCall) -> Answer:
        found = search.find(
            self._store.packages.values(), call.body, member_id=self._store.member_id, now=self._store.clock.now()
        )
        items, take, skip = search.page(found, call.body, max_take=self._max_take)
        shown = [self._views.item(package) for package in items]
        return json_answer({"items": shown, "total": len(found), "take": take, "skip": skip})

    def _same(self, one: str, other: str) -> bool:
        return one == other or (self._quirks.case_insensitive_ids and one.lower() == other.lower())
