"""Parts of uploads in flight, within a bound of memory that all uploads to one store share."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any, Final

PART_SIZE: Final = 8 << 20
MAX_IN_FLIGHT: Final = 8
_TICK: Final = 1.0
_CLOSING: Final = 1.0


def part_size(size: int, max_parts: int) -> int:
    """
    Choose the size of an upload's parts.

    :param size: bytes of the object, as expected.
    :param max_parts: how many parts the store takes.
    :return: bytes; 8 MiB, or more where the store would not take so many.
    """
    return max(PART_SIZE, -(-size // max_parts))


class PartBuffer:
    """Collects bytes until they make up a part, and hands them over without another copy."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._stream.tell()

    def add(self, data: bytes | memoryview) -> None:
        """
        Append bytes.

        :param data: the bytes.
        """
        self._stream.write(data)

    def fill(self, data: bytes | memoryview, size: int) -> memoryview:
        """
        Append bytes up to the size of a part.

        :param data: the bytes.
        :param size: the part's size.
        :return: the bytes that did not fit.
        """
        view = memoryview(data)
        room = max(0, size - self.size)
        self._stream.write(view[:room])
        return view[room:]

    def take(self) -> bytes:
        """
        Hand over what is there.

        :return: the bytes.
        """
        taken, self._stream = self._stream.getvalue(), io.BytesIO()
        return taken

    def peek(self) -> bytes:
        """
        Show what is there, and keep it.

        :return: the bytes.
        """
        return self._stream.getvalue()

    def clear(self) -> None:
        """Forget all bytes."""
        self._stream = io.BytesIO()


class PartPool:
    """
    Buffers for parts, filled again and again; threads may share it.

    Large pieces of memory that come and go leave gaps that the allocator keeps: the process grows although little is in
    use. A buffer is given back when its part was sent, so there are as many as parts in flight and uploads at work.

    :param most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._free: deque[bytearray] = deque(maxlen=most)

    def take(self, size: int) -> bytearray:
        """
        Give a buffer; only those of the usual size are kept for the next part.

        :param size: its bytes.
        :return: the buffer, with whatever was in it.
        """
        if size == PART_SIZE:
            try:
                return self._free.pop()
            except IndexError:
                pass
        return bytearray(size)

    def give_back(self, buffer: bytearray) -> None:
        """
        Take a buffer back that nobody reads any more.

        :param buffer: the buffer.
        """
        if len(buffer) == PART_SIZE:
            self._free.append(buffer)


POOL: Final = PartPool(MAX_IN_FLIGHT + 2)
"""One for the process, since a buffer that is freed is what leaves a gap; empty until something large is uploaded."""


class Part:
    """
    One part while it is filled.

    :param buffer: as long as the part is expected to be.
    """

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self.size = 0
        """Bytes that are there."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more fits."""
        return self.size == len(self._buffer)

    def fill(self, data: bytes | memoryview) -> memoryview:
        """
        Append bytes up to the end of the buffer.

        :param data: the bytes.
        :return: the bytes that did not fit.
        """
        view = memoryview(data)
        fits = min(len(view), len(self._buffer) - self.size)
        with memoryview(self._buffer) as room:
            room[self.size : self.size + fits] = view[:fits]
        self.size += fits
        return view[fits:]

    def extend(self, data: bytes | memoryview) -> None:
        """
        Append bytes, beyond the end of the buffer too.

        :param data: the bytes.
        """
        rest = self.fill(data)
        self._buffer += rest
        self.size += len(rest)

    def whole(self) -> bytearray:
        """
        Give the buffer, without what lies behind the last byte.

        :return: the bytes, not copied.
        """
        if not self.is_full:
            del self._buffer[self.size :]
        return self._buffer


class PartReader:
    """
    The bytes of a part as a file: the SDK makes a copy of any other body that it puts a checksum behind.

    :param data: the bytes.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = memoryview(data)
        self._at = 0

    def __len__(self) -> int:
        return len(self._data)

    def read(self, size: int | None = None) -> bytes:
        """
        Read on.

        :param size: how much at most; None for all that is left.
        :return: the bytes; none at the end.
        """
        end = len(self._data) if size is None or size < 0 else self._at + size
        piece = bytes(self._data[self._at : end])
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """
        Go to another place.

        :param offset: bytes from there.
        :param whence: from where: the beginning, here, or the end.
        :return: the place.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = min(max(0, base + offset), len(self._data))
        return self._at

    def tell(self) -> int:
        """
        Name the place.

        :return: bytes from the beginning.
        """
        return self._at


class PartsInFlight:
    """
    The calls of one upload that are under way.

    :param slots: how many parts may be in memory; all uploads to one store share them.
    """

    def __init__(self, slots: threading.Semaphore) -> None:
        self._slots = slots
        self._calls: list[Future[Any]] = []

    def send(self, start: Callable[[], Future[Any]]) -> None:
        """
        Start to send a part as soon as there is room for it in memory.

        :param start: starts the call.
        :raises Exception: what an earlier call failed with.
        """
        while not self._slots.acquire(timeout=_TICK):
            self.raise_failed()
        try:
            self.raise_failed()
            call = start()
        except BaseException:
            self._slots.release()
            raise
        call.add_done_callback(lambda _: self._slots.release())
        self._calls.append(call)

    def __len__(self) -> int:
        return len(self._calls)

    def raise_failed(self) -> None:
        """
        Stop as soon as one call has failed.

        :raises Exception: what it failed with.
        """
        for call in self._calls:
            if call.done() and not call.cancelled() and (error := call.exception()) is not None:
                raise error

    def results(self) -> list[Any]:
        """
        Wait for all calls.

        :return: their answers, in the order of the parts.
        :raises Exception: what the first of them failed with.
        """
        return [call.result() for call in self._calls]

    def cancel(self) -> None:
        """Stop what has not begun, and wait a moment for what has."""
        for call in self._calls:
            call.cancel()
        wait_for(self._calls, timeout=_CLOSING)

    def when_ended(self, act: Callable[[], Any]) -> None:
        """
        Do something after each call that is still under way.

        :param act: what to do.
        """
        for call in self._calls:
            if not call.done():
                call.add_done_callback(lambda _: act())
        self._calls.clear()
