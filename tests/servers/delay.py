"""A slow wire: a TCP proxy that delays what passes, each direction by so many seconds, and keeps connections open."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 256 * 1024
# What may be on its way in one direction: enough that the delay, not the proxy, is what limits a transfer.
IN_FLIGHT = 64 * 1024 * 1024


@dataclass
class SlowWire:
    """A running proxy: its port, the delay of each direction in seconds (may be changed), and what was counted."""

    port: int = 0
    delay: float = 0.0
    connections: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def url(self, scheme: str = "http") -> str:
        """The address to give to a client instead of the server's own."""
        return f"{scheme}://127.0.0.1:{self.port}"


@contextmanager
def slow_wire(target_port: int, *, delay: float) -> Iterator[SlowWire]:
    """Put a proxy before a port of 127.0.0.1 until the block ends.

    :param target_port: where the server listens.
    :param delay: seconds that each direction takes; a round trip takes twice that, and opening a connection one more.
    """
    wire = SlowWire(delay=delay)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="slow-wire", daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_listen(wire, target_port), loop).result(10)
    try:
        yield wire
    finally:
        asyncio.run_coroutine_threadsafe(_stop(wire, server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _listen(wire: SlowWire, target_port: int) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        wire._tasks.add(task)
        try:
            await _join(wire, target_port, reader, writer)
        finally:
            wire._tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=CHUNK)
    wire.port = server.sockets[0].getsockname()[1]
    return server


async def _join(wire: SlowWire, target_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    wire.connections += 1
    await asyncio.sleep(2 * wire.delay)  # SYN and its answer; loopback itself answers the client at once
    try:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", target_port, limit=CHUNK)
    except OSError:
        writer.transport.abort()
        return
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(wire, reader, up_writer, "bytes_sent"))
            group.create_task(_carry(wire, up_reader, writer, "bytes_received"))
    finally:
        for each in (writer, up_writer):
            each.transport.abort()


async def _carry(wire: SlowWire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: str) -> None:
    """Read at full speed and write each piece when it is due, so that the delay adds latency and takes no bandwidth."""
    loop = asyncio.get_running_loop()
    pieces: deque[tuple[float, bytes]] = deque()
    changed = asyncio.Event()
    room = asyncio.Event()
    held = 0

    async def write() -> None:
        nonlocal held
        while True:
            while not pieces:
                changed.clear()
                await changed.wait()
            due, data = pieces.popleft()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            held -= len(data)
            room.set()

    async def read() -> None:
        nonlocal held
        data = b"-"
        while data:
            data = await reader.read(CHUNK)
            setattr(wire, counter, getattr(wire, counter) + len(data))
            held += len(data)
            pieces.append((loop.time() + wire.delay, data))
            changed.set()
            while held > IN_FLIGHT:
                room.clear()
                await room.wait()

    with suppress(OSError):
        writing = asyncio.ensure_future(write())
        try:
            await read()
            await writing
        except OSError:
            writer.transport.abort()  # a broken connection breaks on the other side too
            raise
        finally:
            writing.cancel()


async def _stop(wire: SlowWire, server: asyncio.Server) -> None:
    server.close()
    for task in list(wire._tasks):
        task.cancel()
    await asyncio.gather(*wire._tasks, return_exceptions=True)
