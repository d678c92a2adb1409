"""How far a wait has come: errors count for each package, failures are kept for the end, and all of it survives."""

from __future__ import annotations

import json

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.models import parse_video
from airflow_provider_iinked.waiting.wait_condition import WaitCondition, WaitStatus
from airflow_provider_iinked.waiting.wait_progress import WaitProgress

NOT_FOUND = exceptions.PackageNotFoundError("Package a is not found.")
TROUBLE = exceptions.ServerError("HTTP 500")
READY = WaitStatus(True, (parse_video({"meetingVideoId": "v", "state": "archived", "url": "https://x/?y=z"}),))
LATE = WaitStatus(False, (), ("v (queued)",))


def progress(package_id=("a", "b"), budget=2, **more):
    arguments = {"meeting_video_ids": "*", "min_videos": 1, "on_failed": "fail", "on_deleted": "fail"}
    given = list(package_id) if isinstance(package_id, tuple) else package_id
    return WaitProgress(WaitCondition.from_dict({"package_id": given, **arguments}), budget, **more)


def test_what_is_pending_keeps_the_order_given():
    wait = progress(("c", "a", "b"))
    wait.note("a", READY)
    assert wait.pending == ["c", "b"]


def test_a_permanent_error_of_one_package_of_several_is_kept_for_the_end():
    wait = progress()
    assert "goes on" in wait.note_error("a", NOT_FOUND)
    assert wait.pending == ["b"]
    wait.note("b", READY)
    with pytest.raises(exceptions.PackagesFailedError, match=r"1 of 2 packages failed.*\[a\] Package a is not found"):
        wait.result()


def test_a_permanent_error_of_the_only_package_is_raised_as_it_is():
    with pytest.raises(exceptions.PackageNotFoundError):
        progress("a").note_error("a", NOT_FOUND)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.AuthenticationError("no", status=401),
        exceptions.AuthenticationError("no", status=403),
        exceptions.UnrequestedDeletionError("other"),
        exceptions.ConnectionSettingsError("host"),
        exceptions.CertificateError("ended"),
    ],
    ids=lambda error: f"{type(error).__name__} {error.status}",
)
def test_what_concerns_the_service_ends_the_wait_for_all(error):
    with pytest.raises(type(error)):
        progress().note_error("a", error)


def test_errors_in_a_row_are_counted_for_each_package():
    wait = progress(budget=2)
    for _ in range(2):
        wait.note_error("a", TROUBLE)
        wait.note_error("b", TROUBLE)
    assert wait.consecutive_errors == 2
    wait.note("b", LATE)
    wait.note_error("b", TROUBLE)
    with pytest.raises(exceptions.ServerError):
        wait.note_error("a", TROUBLE)


def test_a_list_without_news_ends_a_row_of_errors():
    wait = progress("a", budget=1)
    for _ in range(3):
        wait.note_error("a", TROUBLE)
        wait.note_unchanged("a")
    assert wait.consecutive_errors == 0


def test_errors_before_the_start_count():
    wait = progress("a", budget=2, consecutive_errors=2)
    with pytest.raises(exceptions.ServerError):
        wait.note_error("a", TROUBLE)


def test_a_retry_after_of_the_rate_limit_is_no_error():
    wait = progress("a", budget=0)
    assert "Still waiting" in wait.note_error("a", exceptions.RateLimitError("too many", retry_after=3.0))
    assert wait.consecutive_errors == 0


def test_all_of_it_survives_as_json():
    wait = progress(("a", "b", "c", "d"))
    wait.note("a", READY)
    wait.note_error("b", NOT_FOUND)
    wait.note_error("c", TROUBLE)
    wait.warned = {"key": 5.0}
    kept = json.loads(json.dumps(wait.to_dict()))
    assert "https" not in json.dumps(kept)
    again = progress(("a", "b", "c", "d"))
    again.restore(kept)
    assert (again.pending, again.consecutive_errors, again.warned) == (["c", "d"], 1, {"key": 5.0})
    assert again.to_dict() == wait.to_dict()


def test_what_is_kept_of_other_packages_is_left_out():
    wait = progress(("a", "b"))
    wait.note("a", READY)
    other = progress(("b", "c"))
    other.restore(wait.to_dict())
    assert other.pending == ["b", "c"]


@pytest.mark.parametrize("kept", [None, 7, "x", [], {"errors": 1, "ready": [], "failed": None, "warned": "x"}])
def test_what_is_not_understood_changes_nothing(kept):
    wait = progress()
    wait.restore(kept)
    assert (wait.pending, wait.consecutive_errors, wait.warned) == (["a", "b"], 0, {})


def test_a_timeout_names_ten_packages_at_the_most():
    wait = progress(tuple(f"p{n}" for n in range(12)))
    wait.note("p0", LATE)
    text = wait.describe_pending()
    assert "Package p0: v (queued)" in text
    assert "Package p1: an answer" in text
    assert "and 2 more packages" in text


@pytest.mark.parametrize(
    ("error", "ready"),
    [
        (None, ["b"]),
        (exceptions.PackagesFailedError("a"), ["b"]),
        (exceptions.AuthenticationError("no", status=401), []),
        (exceptions.UnrequestedDeletionError("other"), []),
        (TROUBLE, []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_next_task_may_work_on_what_is_ready_unless_the_error_concerns_the_service(error, ready):
    wait = progress()
    wait.note("b", READY)
    assert wait.ready_despite(error) == ready
