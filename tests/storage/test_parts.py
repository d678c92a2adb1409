"""Bytes become parts of one size, whatever pieces they come in."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.storage.parts import PART_SIZE, PartBuffer, PartsInFlight, part_size


@given(pieces=st.lists(st.binary(max_size=40)), size=st.integers(1, 32))
def test_pieces_of_any_length_become_parts_of_one_size(pieces, size):
    buffer, parts = PartBuffer(), []
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = buffer.fill(rest, size)
            if buffer.size == size:
                parts.append(buffer.take())
    last = buffer.take()

    assert b"".join(parts) + last == b"".join(pieces)
    assert all(len(part) == size for part in parts)
    assert len(last) < size


def test_what_is_shown_is_kept():
    buffer = PartBuffer()
    buffer.add(b"bytes")

    assert (buffer.peek(), buffer.peek(), buffer.take(), buffer.take()) == (b"bytes", b"bytes", b"bytes", b"")


@pytest.mark.parametrize(("size", "parts"), [(1, 1), (9000 * PART_SIZE, 9000), (90_000 * PART_SIZE, 9000)])
def test_parts_grow_only_where_the_store_would_not_take_so_many(size, parts):
    assert -(-size // part_size(size, 9000)) == parts


def test_no_more_parts_are_in_flight_than_there_is_room_for():
    slots, calls = threading.BoundedSemaphore(2), [Future(), Future(), Future()]
    parts = PartsInFlight(slots)
    for call in calls[:2]:
        parts.send(lambda call=call: call)
    sender = threading.Thread(target=lambda: parts.send(lambda: calls[2]))
    sender.start()
    sender.join(0.2)
    assert sender.is_alive(), "there is no room for a third"

    calls[0].set_result("first")
    sender.join(60)

    assert not sender.is_alive()
    calls[1].set_result("second")
    calls[2].set_result("third")
    assert parts.results() == ["first", "second", "third"]


def test_a_part_that_failed_stops_the_next_one():
    failed: Future[None] = Future()
    failed.set_exception(ConnectionResetError("away"))
    parts = PartsInFlight(threading.BoundedSemaphore(2))
    parts.send(lambda: failed)

    with pytest.raises(ConnectionResetError):
        parts.send(Future)
