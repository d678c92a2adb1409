"""Bytes become parts of one size, whatever pieces they come in."""

from __future__ import annotations

import io
import threading
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.storage.parts import (
    PART_SIZE,
    Part,
    PartBuffer,
    PartPool,
    PartReader,
    PartsInFlight,
    part_size,
)


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


@given(pieces=st.lists(st.binary(max_size=40)), size=st.integers(1, 32))
def test_a_part_takes_what_fits_and_gives_the_rest_back(pieces, size):
    taken, parts = Part(bytearray(size)), []
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = taken.fill(rest)
            if taken.is_full:
                parts.append(bytes(taken.whole()))
                taken = Part(bytearray(b"x" * size))
    last = bytes(taken.whole())

    assert b"".join(parts) + last == b"".join(pieces)
    assert all(len(part) == size for part in parts)


@given(pieces=st.lists(st.binary(max_size=40)), size=st.integers(0, 100))
def test_a_part_that_is_extended_holds_all_bytes_whatever_was_expected(pieces, size):
    part = Part(bytearray(size))
    for piece in pieces:
        part.extend(piece)

    assert part.whole() == b"".join(pieces)
    assert part.whole() == b"".join(pieces), "and again, when it is published once more"


def test_a_buffer_that_was_given_back_is_used_again_and_only_then():
    pool = PartPool(2)
    first, second = pool.take(PART_SIZE), pool.take(PART_SIZE)
    assert first is not second

    pool.give_back(first)

    assert pool.take(PART_SIZE) is first
    assert pool.take(PART_SIZE) is not second


def test_no_more_buffers_are_kept_than_there_is_room_for():
    pool = PartPool(2)
    buffers = [pool.take(PART_SIZE) for _ in range(3)]
    for buffer in buffers:
        pool.give_back(buffer)

    taken = [pool.take(PART_SIZE) for _ in range(3)]

    assert len([one for one in taken if any(one is buffer for buffer in buffers)]) == 2


def test_a_buffer_of_another_size_is_not_kept():
    pool = PartPool(2)
    shorter = pool.take(5)
    assert len(shorter) == 5

    pool.give_back(shorter)

    assert len(pool.take(PART_SIZE)) == PART_SIZE


@given(data=st.binary(max_size=200), acts=st.lists(st.tuples(st.integers(-5, 90), st.integers(0, 200))))
def test_a_part_is_read_like_a_file(data, acts):
    reader, file = PartReader(bytearray(data)), io.BytesIO(data)
    assert len(reader) == len(data)
    for size, place in acts:
        assert reader.read(size) == file.read(size)
        assert reader.tell() == file.tell()
        assert reader.seek(min(place, len(data))) == file.seek(min(place, len(data)))
    assert reader.seek(0, io.SEEK_END) == len(data)
    assert reader.read() == b""


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
