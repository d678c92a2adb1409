"""One call serves all who asked for it before it began."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_iinked.storage.shared_call import SharedCall


class Slow:
    """A call that goes on until it is let go, and counts how often it was made."""

    def __init__(self):
        self.began, self.go_on, self.count = threading.Semaphore(0), threading.Semaphore(0), 0

    def __call__(self):
        self.count += 1
        self.began.release()
        self.go_on.acquire()


def test_each_of_two_that_ask_one_after_the_other_gets_a_call():
    count = []
    shared = SharedCall(lambda: count.append(1))
    shared()
    shared()

    assert len(count) == 2


def test_a_call_that_began_later_than_the_moment_given_serves():
    count = []
    shared = SharedCall(lambda: count.append(1))
    before = time.monotonic()
    shared(before)
    shared(before)
    assert len(count) == 1

    shared(time.monotonic())
    assert len(count) == 2


def test_those_who_ask_while_one_is_under_way_share_the_next_one():
    slow = Slow()
    shared = SharedCall(slow)
    first = threading.Thread(target=shared)
    first.start()
    slow.began.acquire()
    asking = threading.Semaphore(0)

    def ask():
        asking.release()
        shared()

    others = [threading.Thread(target=ask) for _ in range(5)]
    for other in others:
        other.start()
    for _ in others:
        asking.acquire()
    threading.Event().wait(0.2)  # they have asked, and wait for the one under way to end
    assert slow.count == 1

    for _ in range(6):
        slow.go_on.release()
    for thread in (first, *others):
        thread.join(10)

    assert slow.count == 2, "the one under way had begun too early for them"


def test_an_error_reaches_who_made_the_call_and_the_next_one_tries_again():
    calls = iter([OSError("away"), None])

    def call():
        if (error := next(calls)) is not None:
            raise error

    shared = SharedCall(call)
    with pytest.raises(OSError, match="away"):
        shared()

    shared()
    assert next(calls, "none left") == "none left"
