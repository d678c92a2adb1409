"""Puts answers on the socket, and breaks sockets on request."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import zlib
from typing import TYPE_CHECKING

from aiohttp import web

from airflow_provider_iinked.simulator.media.content import CHUNK, pad_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp.web_request import BaseRequest

    from airflow_provider_iinked.simulator.answers import Answer
    from airflow_provider_iinked.simulator.delivery import Delivery

# Below this, copying through the process costs less than setting sendfile up.
SENDFILE_FROM = 256 * 1024
SENDFILE_PIECE = 8 << 20


def response(answer: Answer) -> web.Response:
    """An answer as aiohttp sends it.

    :param answer: what to send.
    """
    return web.Response(
        status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type, **answer.headers}
    )


def drop(request: BaseRequest, *, reset: bool = False) -> web.StreamResponse:
    """Close the client's socket without an answer.

    :param request: the request that gets none.
    :param reset: with RST instead of FIN.
    """
    transport = request.transport
    if transport is not None:
        if reset:
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()
    # aiohttp finds the socket closed when it tries to send this, and lets it be.
    return web.Response()


async def send_cut(request: BaseRequest, answer: Answer, after: int) -> web.StreamResponse:
    """Send the headers and the first bytes of an answer, then close the socket.

    :param request: the request.
    :param answer: the answer to begin.
    :param after: how many bytes of the body.
    """
    headers = {"Content-Type": answer.content_type, **answer.headers}
    partial = web.StreamResponse(status=answer.status, headers=headers)
    partial.content_length = len(answer.body)
    await partial.prepare(request)
    await partial.write(answer.body[:after])
    drop(request)
    return partial


class Sender:
    """Sends the bytes of a delivery.

    :param request: the request.
    :param delivery: what to send.
    :param rate: bytes a second; None: as fast as it goes.
    """

    def __init__(self, request: BaseRequest, delivery: Delivery, *, rate: float | None = None) -> None:
        self._request = request
        self._delivery = delivery
        self._rate = rate
        self.sent = 0

    async def send(
        self, *, cut_after: int | None = None, on_cut: Callable[[], None] | None = None
    ) -> web.StreamResponse:
        """Send it all, or close the socket midway.

        :param cut_after: close after so many bytes of this answer's body.
        :param on_cut: called right before the socket closes midway.
        """
        delivery, request = self._delivery, self._request
        headers = dict(delivery.headers)
        if delivery.length is not None:
            headers["Content-Length"] = str(delivery.length)
        answer = web.StreamResponse(status=delivery.status, headers=headers)
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        count = delivery.count if delivery.length is None else min(delivery.count, delivery.length)
        cut = cut_after is not None and cut_after < count
        try:
            await self._body(answer, cut_after if cut and cut_after is not None else count)
        except (ConnectionError, RuntimeError):
            return answer  # the client went away
        if cut and on_cut:
            on_cut()
        if cut or delivery.length not in (None, count):
            drop(request)
        return answer

    async def _body(self, answer: web.StreamResponse, count: int) -> None:
        delivery = self._delivery
        content, offset = delivery.content, delivery.offset
        if delivery.gzip or self._rate or delivery.length is None or count < SENDFILE_FROM:
            pieces = _halve(content.chunks(offset, count)) if self._rate else content.chunks(offset, count)
            await self._write(answer, _compress(pieces) if delivery.gzip else pieces)
            return
        if head := content.head(offset, count):
            await answer.write(head)
            self.sent += len(head)
        transport = self._request.transport
        if transport is None:
            return
        loop, file = asyncio.get_running_loop(), pad_file()
        for position, length in content.pad_pieces(offset, count):
            for done in range(0, length, SENDFILE_PIECE):
                self.sent += await loop.sendfile(transport, file, position + done, min(SENDFILE_PIECE, length - done))

    async def _write(self, answer: web.StreamResponse, pieces: Iterator[bytes]) -> None:
        started = asyncio.get_running_loop().time()
        for piece in pieces:
            await answer.write(piece)
            self.sent += len(piece)
            if self._rate:
                await asyncio.sleep(started + self.sent / self._rate - asyncio.get_running_loop().time())


def _halve(chunks: Iterator[bytes], size: int = CHUNK // 32) -> Iterator[bytes]:
    """Smaller pieces, so that a limited rate is even."""
    return (chunk[at : at + size] for chunk in chunks for at in range(0, len(chunk), size))


def _compress(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = (packer.compress(piece) for piece in pieces)
    return (part for part in itertools.chain(packed, (packer.flush() for _ in range(1))) if part)
