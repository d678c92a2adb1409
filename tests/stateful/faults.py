"""What can go wrong: faults and quirks of the service, edits of XComs, records and copies."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from airflow_provider_iinked.simulator import Fault

_WAITS = st.sampled_from([{}, {"Retry-After": "0"}, {"Retry-After": "0.05"}, {"Retry-After": "1000"}])
_ON = st.sampled_from(["first", 2, range(1, 3), range(1, 6)])

api_faults = st.one_of(
    st.builds(
        Fault,
        call=st.sampled_from(["list", "delete"]),
        kind=st.sampled_from(["refuse", "reset", "html", "broken_json", "wrong_type", "redirect", "lost_answer"]),
        on=_ON,
        times=st.just(6),
        work=st.booleans(),
    ),
    st.builds(
        Fault,
        call=st.sampled_from(["list", "delete"]),
        kind=st.just("status"),
        status=st.sampled_from([400, 401, 403, 404, 405, 409, 429, 500, 502, 503, 504]),
        body=st.sampled_from([None, "<h1>Gateway</h1>", {}, {"error": "video_not_found"}, {"error": 7}, []]),
        headers=_WAITS,
        on=_ON,
        times=st.just(6),
        work=st.booleans(),
    ),
    st.builds(Fault, call=st.just("list"), kind=st.just("cut"), after=st.sampled_from([0, 1, 40]), on=_ON),
    st.builds(Fault, call=st.just("delete"), kind=st.just("cut"), after=st.sampled_from([0, 1, 40]), on=_ON),
    st.builds(Fault, call=st.sampled_from(["list", "delete"]), kind=st.just("stall"), seconds=st.just(0.03)),
    st.builds(Fault, call=st.just("list"), kind=st.just("clock_jump"), seconds=st.sampled_from([120.0, 90_000.0])),
    st.builds(Fault, call=st.just("delete"), kind=st.just("delete_all_instead"), hide=st.booleans()),
)

recording_faults = st.one_of(
    st.builds(Fault, call=st.just("recording"), kind=st.sampled_from(["refuse", "reset", "html", "redirect"]), on=_ON),
    st.builds(
        Fault,
        call=st.just("recording"),
        kind=st.sampled_from(["cut", "expire"]),
        after=st.sampled_from([0, 1, 1_000, 20_000]),
        on=_ON,
    ),
    st.builds(
        Fault,
        call=st.just("recording"),
        kind=st.just("status"),
        status=st.sampled_from([206, 304, 400, 401, 403, 404, 410, 416, 429, 500, 503]),
        headers=_WAITS,
        on=_ON,
    ),
)

quirks = st.sampled_from(
    [
        ("delete_paths", "package"),
        ("delete_paths", "short"),
        ("missing_path_status", 405),
        ("repeat_delete", "empty"),
        ("repeat_delete", "not_found"),
        ("repeat_delete", "bad_request"),
        ("unknown_video", "empty"),
        ("unknown_video", "delete_all"),
        ("list_deleted", False),
        ("deletion_delay", 0.05),
        ("deletion_delay", 600.0),
        ("delete_answer", "all_listed"),
        ("delete_answer", "empty"),
        ("hostile", "names_more"),
        ("hostile", "deletes_more"),
        ("hostile", "deletes_more_hidden"),
        ("hostile", "names_stranger"),
        ("case_insensitive_ids", True),
        ("omit_fields", frozenset({"size", "duration"})),
        ("omit_fields", frozenset({"url"})),
        ("null_fields", frozenset({"size", "timeCreated", "meetingId"})),
        ("extra_fields", {"new": {"url": "x"}, "state2": "deleted"}),
        ("empty_list", "null"),
        ("empty_list", "missing"),
        ("unauthorized_status", 403),
        ("accept_ranges", False),
        ("etag", "weak"),
        ("etag", "changing"),
        ("etag", None),
        ("last_modified", False),
        ("content_length", False),
        ("lie_about_size", -1),
        ("lie_about_size", 1),
        ("lie_about_length", 1),
        ("lie_about_length", -1),
        ("lie_about_range", 1),
        ("content_type", "text/html"),
        ("content_type", "application/octet-stream"),
        ("html_with_200", True),
        ("redirect", 302),
        ("expired_status", "html"),
        ("expired_status", 410),
        ("expire_after_bytes", 20_000),
        ("if_range", False),
        ("gzip", True),
        ("deleted_url_works", True),
    ]
)

edits = st.tuples(
    st.sampled_from(
        ["format", "api_base", "package_id", "meeting_video_id", "video", "uri", "size", "sha256", "custody_uri"]
    ),
    st.sampled_from(["gone", "null", "number", "text", "other"]),
)
"""Which field of a record or an XCom is edited, and how; "other" takes the value of another record."""


def edit(record: dict[str, Any], how: tuple[str, str], other: dict[str, Any]) -> dict[str, Any]:
    """Edit one field of a record or of an XCom's entry."""
    name, value = how
    edited = copy.deepcopy(record)
    if value == "gone":
        edited.pop(name, None)
    else:
        edited[name] = {"null": None, "number": 7, "text": "e" * 64, "other": other.get(name)}[value]
    return edited


def spoil_bytes(data: bytes, how: str) -> bytes | None:
    """What becomes of a file: gone, cut, longer, or one byte changed."""
    if how == "gone":
        return None
    if how == "cut":
        return data[: len(data) // 2]
    if how == "longer":
        return data + b"\0"
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else b"x"


def as_bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()
