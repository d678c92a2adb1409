"""A sha256 that is computed in a thread of its own: hashlib releases the GIL, so reading and hashing overlap."""

from __future__ import annotations

import hashlib
import queue
import threading
from typing import Final

_MAX_AHEAD: Final = 8


class BackgroundSha256:
    """
    sha256 of a stream of chunks; at most a few chunks are held at a time.

    The thread begins with the second chunk: where there is one only, handing it over would take longer than hashing it.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._first = b""
        self._chunks: queue.Queue[bytes | None] = queue.Queue(_MAX_AHEAD)
        self._thread: threading.Thread | None = None

    def update(self, data: bytes) -> None:
        """
        Add the next chunk.

        :param data: the chunk.
        """
        if self._thread is None:
            if not self._first:
                self._first = data
                return
            self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
            self._thread.start()
            self._chunks.put(self._first)
            self._first = b""
        self._chunks.put(data)

    def _work(self) -> None:
        while (data := self._chunks.get()) is not None:
            self._hash.update(data)

    def finish(self) -> str:
        """
        Wait for the last chunk.

        :return: the hex digest of all chunks.
        """
        if self._thread is not None:
            self._chunks.put(None)
            self._thread.join()
            self._thread = None
        elif self._first:
            self._hash.update(self._first)
            self._first = b""
        return self._hash.hexdigest()
