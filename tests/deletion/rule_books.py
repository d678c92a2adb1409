"""Rule books on a hand-made package, and rule books with one rule broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.deletion import recording as recording_module
from airflow_provider_iinked.deletion import rules as rules_module
from airflow_provider_iinked.deletion import service_health
from airflow_provider_iinked.deletion.recording import Verification
from airflow_provider_iinked.deletion.rules import DeletionRules
from airflow_provider_iinked.models import VideoList, parse_video

# What a request may meet.
LOCKED = exceptions.RequestRefusedError("locked", status=400, error_code="video_locked")
NOT_FOUND = exceptions.NotFoundError("gone?", status=404, error_code="video_not_found")
CONFLICT = exceptions.RequestRefusedError("busy", status=409, error_code="video_conflict")
SERVER = exceptions.ServerError("500", status=500)
LATER = exceptions.RateLimitError("429", status=429, retry_after=1.0)
UNSENT = exceptions.ServiceUnavailableError("refused", sent=False)
LOST = exceptions.ServiceUnavailableError("broke off")
RETENTION = exceptions.RetentionError("a policy", status=400, error_code="package_delete_retention")
KEY = exceptions.AuthenticationError("401", status=401)

FIELDS = {"size": 5, "timeCreated": "2026-11-01T10:00:00Z", "duration": "PT6S", "meetingId": "m"}


def video(name: str, state: str = "archived", **fields: Any) -> Any:
    """One recording as listed."""
    return parse_video({"meetingVideoId": name, "state": state, **FIELDS, **fields})


def listing(**states: str) -> VideoList:
    """A list with these recordings."""
    return VideoList([video(name, state) for name, state in states.items()])


def verification(name: str, *, domains: tuple[str, ...] = ("file:",), **fields: Any) -> Verification:
    """What verifying the copies of a recording gives; ``fields`` are what it was when it was copied."""
    record = {"video": {**FIELDS, **fields}}
    return Verification("p", name, (record,), ({"uri": f"file:///data/p/{name}.mp4"},), frozenset(domains))


def rule_book(*, guarded: bool = True, min_copies: int = 1, wanted: Any = None, **states: str) -> DeletionRules:
    """Rules about a package whose list was read at second 0."""
    return DeletionRules(
        "p",
        listing(**(states or {"a": "archived", "b": "archived"})),
        listed_at=0.0,
        wanted=wanted,
        states=("archived",),
        guarded=guarded,
        min_copies=min_copies,
    )


def make_ready(rules: DeletionRules, name: str, *, at: float = 0.0) -> None:
    """Verify the copies of a recording, and write its receipt."""
    rules.verified(name, verification(name), at=at)
    rules.receipt_written(name)


def request(rules: DeletionRules, name: str, *, at: float = 0.0) -> None:
    """Make ready, and send the request."""
    make_ready(rules, name, at=at)
    rules.begin_request(name, now=at)


# --- one rule broken at a time ----------------------------------------------------------------------------------------


def _always(value: Any) -> Callable[..., Any]:
    return lambda *arguments, **more: value


BROKEN: dict[str, tuple[Any, str, Any]] = {
    "a stale list is taken for recent": (rules_module, "is_recent", _always(True)),
    "a stale verification is taken for fresh": (rules_module, "is_fresh_enough", _always(True)),
    "no verification is needed": (rules_module, "_is_verified", _always(True)),
    "the listing is not compared with the record": (recording_module, "listing_mismatches", _always([])),
    "what an answer names is not compared": (rules_module, "unrequested_ids", _always([])),
    "what a list misses is not compared": (rules_module, "disappeared", _always([])),
    "every refusal is a doubt": (rules_module, "_is_word", _always(False)),
    "a service that is down is asked on": (service_health.ServiceHealth, "is_down_after", _always(False)),
}


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break one rule."""
    where, what, instead = BROKEN[name]
    with mock.patch.object(where, what, instead):
        yield
