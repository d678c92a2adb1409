"""Whatever a server, a file or a database holds: the parsers raise nothing but our own errors. BODIES sets how many."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pendulum
import pytest

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.custody import record as custody
from airflow_provider_iinked.deletion.plan import disappeared, make_plan, unrequested_ids
from airflow_provider_iinked.deletion.request import read_copies
from airflow_provider_iinked.download.response import DownloadResponse, classify_response, known_total
from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.models import Video, VideoList, parse_package, parse_video, parse_videos
from airflow_provider_iinked.waiting.events import read_event
from airflow_provider_iinked.waiting.wait_condition import WaitCondition, evaluate
from airflow_provider_iinked.waiting.wait_progress import WaitProgress
from airflow_provider_iinked.waiting.wait_warnings import due_warnings
from tests.fuzz.bodies import PACKAGE_ID, RECORD, SEEDS, SHORT, VIDEO, Fuzzer

BODIES = int(os.environ.get("BODIES", "20000"))
STATUSES = (*[200] * 40, 201, 204, 206, 301, 302, 400, 401, 403, 404, 405, 409, 416, 429, 500, 503, 599)
REQUESTS = (
    protocol.list_videos(PACKAGE_ID),
    protocol.get_package(PACKAGE_ID),
    protocol.list_packages({}, take=1, skip=0),
    *protocol.delete_video(PACKAGE_ID, "4c512b8a"),
)
CONDITION = WaitCondition.from_dict(
    {
        "package_id": PACKAGE_ID,
        "meeting_video_ids": ["other"],
        "min_videos": 1,
        "on_failed": "fail",
        "on_deleted": "fail",
    }
)
NOW = pendulum.datetime(2026, 11, 24).timestamp()


def use_video(video: Video) -> None:
    facts = (video.size, video.time_created, video.time_retention, video.time_url_expires, video.duration, video.url)
    assert "url" not in video.public_fields(), facts
    custody.listing_mismatches(RECORD, video)
    # An id is about to become a file name.
    assert "/" not in video.meeting_video_id
    assert video.meeting_video_id.strip(".")


def use_answer(answer: dict[str, Any]) -> None:
    for item in answer["items"] if isinstance(answer.get("items"), list) else ():
        assert parse_package(item).time_retention or True
    videos = parse_videos(answer, PACKAGE_ID)
    for video in videos:
        use_video(video)
    listing = VideoList(videos)
    unrequested_ids(videos, requested={"other"}, gone_before=set())
    disappeared(listing, VideoList(videos[:1]), requested=set())
    json.dumps(due_warnings(PACKAGE_ID, videos, NOW, {}).given)
    progress = WaitProgress(CONDITION, 1)
    progress.note(PACKAGE_ID, evaluate(videos, CONDITION, PACKAGE_ID))
    json.dumps(progress.result())
    make_plan(listing, [VIDEO["meetingVideoId"]], ("archived",))


def try_answer(fuzzer: Fuzzer) -> None:
    """An answer of the API, from its bytes to what is done with it."""
    response = protocol.Response(fuzzer.rng.choice(STATUSES), fuzzer.headers(), fuzzer.body(SEEDS[0]))
    use_answer(protocol.read_answer(fuzzer.rng.choice(REQUESTS), response, secret="k" * 20, now=1.0))


def try_video(fuzzer: Fuzzer) -> None:
    """One video object of a list."""
    use_video(parse_video(fuzzer.value(VIDEO)))


def try_record(fuzzer: Fuzzer) -> None:
    """A custody record as it lies in the storage."""
    value = fuzzer.value(RECORD)
    claim = custody.read_stored_video(value, SHORT["custody_uri"])
    if claim is not None:
        custody.origin_mismatches(value, api_base="x", package_id=PACKAGE_ID, meeting_video_id="x")
        custody.location_mismatches(claim)
        custody.expected_mismatches(value, claim)
        custody.copy_mismatches(value, size=1, sha256="0", validator=None)
        custody.copy_mismatches(value, size=1, sha256=None, validator={"etag": "x"})
    if isinstance(value, dict):
        custody.listing_mismatches(value, parse_video(VIDEO))


def try_copies(fuzzer: Fuzzer) -> None:
    """An XCom that is to be deletion's proof."""
    for package in read_copies(fuzzer.value([SHORT])).values():
        for copy in (copy for places in package.values() for copy in places):
            custody.location_mismatches(copy)


def try_event(fuzzer: Fuzzer) -> None:
    """A trigger's event as it comes back through the database."""
    outcome = read_event(fuzzer.value(SEEDS[4]), CONDITION)
    assert outcome.error is None or isinstance(outcome.error, IinkedSignError)


def try_head(fuzzer: Fuzzer) -> None:
    """The head of an answer of a recording's host."""
    answer = DownloadResponse(fuzzer.rng.choice(STATUSES), fuzzer.headers())
    offset, total = fuzzer.rng.choice([(0, None), (5, 100), (0, 100)])
    classify_response(answer, offset=offset, validator=fuzzer.rng.choice([None, '"abc"']), total=total)
    known_total(answer, fuzzer.rng.choice([None, 100]))
    assert answer.wait is None or answer.wait >= 0
    assert isinstance(answer.compressions, tuple)


@pytest.mark.parametrize(
    ("attempt", "share"),
    [(try_answer, 0.5), (try_video, 0.1), (try_record, 0.1), (try_copies, 0.1), (try_event, 0.1), (try_head, 0.1)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_nothing_but_our_own_errors(
    attempt: Callable[[Fuzzer], None], share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzzer = Fuzzer(f"{attempt.__name__} {os.environ.get('BODIES_SEED', '1')}")
    ends: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(max(1, int(BODIES * share))):
        started = time.process_time()
        try:
            attempt(fuzzer)
        except IinkedSignError as error:
            ends[type(error).__name__] += 1
        else:
            ends["understood"] += 1
        slowest = max(slowest, time.process_time() - started)
    # A body of a few kB that costs a second would let a server hold up a triggerer.
    assert slowest < 1.0
    assert ends["understood"] > 0.1 * ends.total(), "the fuzzer hardly reaches what comes after parsing"
    with capsys.disabled():
        print(f"\n{sum(ends.values())} inputs to {attempt.__name__}, slowest {slowest * 1000:.0f} ms: {dict(ends)}")


def test_a_size_that_no_float_can_hold_is_read() -> None:
    """Found by the fuzzer: such a size ended a task with an OverflowError."""
    assert parse_video({**VIDEO, "size": 10**400}).size == 10**400
