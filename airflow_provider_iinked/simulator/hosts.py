"""The two servers: each request is noted, hit by the fault that is due, and answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.simulator import delivery, wire
from airflow_provider_iinked.simulator.answers import Answer, html_answer, json_answer
from airflow_provider_iinked.simulator.api import NOT_JSON, Api, ApiCall, parse

if TYPE_CHECKING:
    import threading

    from aiohttp import web
    from aiohttp.web_request import BaseRequest

    from airflow_provider_iinked.simulator.clock import Clock
    from airflow_provider_iinked.simulator.faults import Fault, FaultPlan
    from airflow_provider_iinked.simulator.ledger import Ledger, RequestRecord
    from airflow_provider_iinked.simulator.quirks import Quirks
    from airflow_provider_iinked.simulator.state import SimVideo, Store


class Host:
    """What both servers share.

    :param ledger: where requests are noted.
    :param faults: the plan of mishaps.
    :param quirks: how the service behaves.
    :param clock: the simulator's clock.
    :param lock: guards packages and videos.
    """

    name = ""

    def __init__(
        self, *, ledger: Ledger, faults: FaultPlan, quirks: Quirks, clock: Clock, lock: threading.RLock
    ) -> None:
        self._ledger = ledger
        self._faults = faults
        self._quirks = quirks
        self._clock = clock
        self._lock = lock

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request.

        :param request: the request.
        """
        raise NotImplementedError

    def _begin(
        self, request: BaseRequest, call: str, package_id: str | None, video_id: str | None, body: Any
    ) -> tuple[RequestRecord, Fault | None]:
        """Note a request and settle its fate."""
        peer = request.transport.get_extra_info("peername") if request.transport else ("", 0)
        record = self._ledger.begin(
            host=self.name,
            call=call,
            method=request.method,
            path=request.path,
            query=tuple(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            package_id=package_id,
            video_id=video_id,
            peer=peer,
        )
        fault = self._faults.decide(call, package_id, video_id)
        if fault is not None:
            record.fault = fault.kind
        return record, fault

    async def _wait_out(self, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "clock_jump":
            self._clock.advance(fault.seconds)
        if fault is not None and fault.kind == "stall":
            await asyncio.sleep(fault.seconds)

    def _drop(self, request: BaseRequest, record: RequestRecord, *, reset: bool = False) -> web.StreamResponse:
        self._ledger.answered(record, None)
        return wire.drop(request, reset=reset)

    def _answer(self, record: RequestRecord, answer: Answer) -> web.StreamResponse:
        self._ledger.answered(record, answer.status)
        return wire.response(answer)


def substitute(fault: Fault, elsewhere: str) -> Answer | None:
    """The answer that a fault puts in place of the real one, or None.

    :param fault: the fault.
    :param elsewhere: where a redirect without a location leads.
    """
    if fault.kind == "html":
        return html_answer("Please sign in")
    if fault.kind == "redirect":
        page = html_answer("Moved", status=fault.status or 302)
        page.headers["Location"] = fault.location or elsewhere
        return page
    if fault.kind != "status":
        return None
    body = fault.body
    if body is None:
        body = {"error": f"simulated_{fault.status}", "message": "Planned by a fault."}
    answer = html_answer(body, status=fault.status) if isinstance(body, str) else json_answer(body, status=fault.status)
    answer.headers.update(fault.headers)
    return answer


class ApiHost(Host):
    """The API's server.

    :param api: answers calls.
    :param elsewhere: another origin of the API, for redirects.
    """

    name = "api"

    def __init__(self, *, api: Api, elsewhere: str, **shared: Any) -> None:
        super().__init__(**shared)
        self._api = api
        self._elsewhere = elsewhere

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request.

        :param request: the request.
        """
        raw = await request.read() if request.body_exists else b""
        call = parse(request.path, raw)
        body = (raw.decode(errors="replace") if call.body is NOT_JSON else call.body) if raw else None
        record, fault = self._begin(request, call.name, call.package_id, call.video_id, body)
        if self._quirks.latency:
            await asyncio.sleep(self._quirks.latency)
        if fault is not None:
            return await self._faulty(request, call, record, fault)
        return self._answer(record, self._do(request, call, record))

    def _do(self, request: BaseRequest, call: ApiCall, record: RequestRecord, **how: bool) -> Answer:
        with self._lock:
            return self._api.answer(call, request.method, record.headers, record, **how)

    async def _faulty(
        self, request: BaseRequest, call: ApiCall, record: RequestRecord, fault: Fault
    ) -> web.StreamResponse:
        await self._wait_out(fault)
        if fault.kind in ("refuse", "reset"):
            return self._drop(request, record, reset=fault.kind == "reset")
        if instead := substitute(fault, self._elsewhere + request.path_qs):
            if fault.work:
                self._do(request, call, record)
            return self._answer(record, instead)
        everything = fault.kind == "delete_all_instead" and call.name == "delete"
        how = {"everything": True, "hide": fault.hide} if everything else {}
        answer = self._do(request, call, record, **how)
        if fault.kind == "lost_answer":
            return self._drop(request, record)
        if fault.kind in ("cut", "expire"):
            self._ledger.answered(record, answer.status)
            return await wire.send_cut(request, answer, fault.after)
        if fault.kind == "broken_json":
            answer.body = answer.body[: max(1, len(answer.body) // 2)]
        if fault.kind == "wrong_type":
            answer.body = b'["not", "what", "was", "promised"]'
        return self._answer(record, answer)


class RecordingsHost(Host):
    """The server that signed URLs lead to.

    :param store: recordings and their access tokens.
    :param elsewhere: another origin of this server, for redirects.
    """

    name = "recordings"

    def __init__(self, *, store: Store, elsewhere: str, **shared: Any) -> None:
        super().__init__(**shared)
        self._store = store
        self._elsewhere = elsewhere

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request.

        :param request: the request.
        """
        folder, _, video_id = request.path.lstrip("/").partition("/")
        call = {"video": "recording", "storage": "storage"}.get(folder, "other")
        video = self._store.videos.get(video_id) if call != "other" else None
        package_id = video.package_id if video else None
        record, fault = self._begin(request, call, package_id, video_id or None, None)
        await self._wait_out(fault)
        if fault is not None and fault.kind in ("refuse", "reset", "lost_answer"):
            return self._drop(request, record, reset=fault.kind == "reset")
        instead = substitute(fault, f"{self._elsewhere}/storage/{video_id}?{request.query_string}") if fault else None
        instead = instead or self._refusal(request, video, folder)
        if instead is not None or video is None:
            return self._answer(record, instead or html_answer("404 Not Found", status=404))
        return await self._send(request, video, record, fault)

    def _refusal(self, request: BaseRequest, video: SimVideo | None, folder: str) -> Answer | None:
        """What is answered instead of the recording, or None."""
        quirks = self._quirks
        if request.method not in ("GET", "HEAD"):
            return html_answer("405 Method Not Allowed", status=405)
        if video is None:
            return html_answer("404 Not Found", status=404)
        access = self._store.check(video, request.query.get("access", ""))
        if access == "bad":
            return html_answer("403 Forbidden", status=403)
        if access == "expired":
            expired = 200 if quirks.expired_status == "html" else quirks.expired_status
            return html_answer("This link has expired", status=expired)
        if video.deleted and not quirks.deleted_url_works:
            return html_answer("404 Not Found", status=404)
        if quirks.redirect and folder == "video":
            moved = html_answer("Moved", status=quirks.redirect)
            moved.headers["Location"] = f"{self._elsewhere}/storage/{video.meeting_video_id}?{request.query_string}"
            return moved
        return html_answer("Please sign in") if quirks.html_with_200 else None

    async def _send(
        self, request: BaseRequest, video: SimVideo, record: RequestRecord, fault: Fault | None
    ) -> web.StreamResponse:
        quirks = self._quirks
        sending = delivery.plan(video, record.headers, quirks)
        cut_after = fault.after if fault is not None and fault.kind in ("cut", "expire") else None
        ends = fault is not None and fault.kind == "expire"
        if cut_after is None and quirks.expire_after_bytes is not None:
            cut_after, ends = quirks.expire_after_bytes, True
        self._ledger.answered(record, sending.status)
        sender = wire.Sender(request, sending, rate=quirks.recording_rate)
        on_cut = (lambda: self._store.expire_urls([video])) if ends else None
        try:
            return await sender.send(cut_after=cut_after, on_cut=on_cut)
        finally:
            self._ledger.sent(record, sender.sent)
