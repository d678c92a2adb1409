"""The bytes of a recording: a real sample, stretched to a length and padded to a size, readable at any offset."""

from __future__ import annotations

import functools
import hashlib
import random
import struct
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT_TYPES = {"mp4": "video/mp4", "webm": "video/webm"}
SAMPLE_SECONDS = 6
CHUNK = 1 << 20
# An odd length: no power-of-two chunk size ever lines up with the repetition, so a wrong offset shows in the hash.
BLOCK_SIZE = (1 << 20) + 7
PAD_FILE_BLOCKS = 32


class Content:
    """What one recording consists of.

    A size below the sample's own (about 4 KB) gives the sample's beginning, which does not play.

    :param seed: text that makes the padding differ from other recordings'.
    :param size: bytes in all.
    :param container: ``mp4`` or ``webm``.
    :param duration: seconds that a player shows.
    """

    def __init__(self, *, seed: str, size: int, container: str = "mp4", duration: float = SAMPLE_SECONDS) -> None:
        sample = _stretched(container, duration)
        gap = size - len(sample)
        if gap > 0:
            sample = _with_padding(sample, container, gap)
        self.size = size
        self.content_type = CONTENT_TYPES[container]
        self._head = sample[:size]
        self._phase = zlib.crc32(seed.encode()) % BLOCK_SIZE
        self._sha256: str | None = None

    def head(self, offset: int, count: int) -> bytes:
        """Bytes of the range that lie before the padding.

        :param offset: first byte.
        :param count: how many.
        """
        return self._head[offset : offset + count]

    def pad_pieces(self, offset: int, count: int) -> Iterator[tuple[int, int]]:
        """Where the rest of the range lies in ``pad_file``: positions and lengths.

        :param offset: first byte of the range, counted in the recording.
        :param count: how many.
        """
        start = max(offset, len(self._head))
        left = offset + count - start
        position = (self._phase + start - len(self._head)) % BLOCK_SIZE
        while left > 0:
            length = min(left, PAD_FILE_BLOCKS * BLOCK_SIZE - position)
            yield position, length
            left -= length
            position = (position + length) % BLOCK_SIZE

    def read(self, offset: int = 0, count: int | None = None) -> bytes:
        """The bytes of a range.

        :param offset: first byte.
        :param count: how many; None: to the end.
        """
        end = self.size if count is None else min(self.size, offset + count)
        return b"".join(self.chunks(offset, max(0, end - offset)))

    def chunks(self, offset: int, count: int) -> Iterator[bytes]:
        """The bytes of a range, in pieces of at most 1 MiB.

        :param offset: first byte.
        :param count: how many.
        """
        if head := self.head(offset, count):
            yield head
        block = _double_block()
        for position, length in self.pad_pieces(offset, count):
            for done in range(0, length, CHUNK):
                at = (position + done) % BLOCK_SIZE
                yield block[at : at + min(CHUNK, length - done)]

    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the whole; computed once, in constant memory."""
        if self._sha256 is None:
            digest = hashlib.sha256()
            for chunk in self.chunks(0, self.size):
                digest.update(chunk)
            self._sha256 = digest.hexdigest()
        return self._sha256


@functools.cache
def pad_file() -> IO[bytes]:
    """An unnamed temporary file of repeated padding blocks; any recording's padding lies in it, for ``sendfile``."""
    file = tempfile.TemporaryFile(prefix="iinked-simulator-")  # noqa: SIM115 (lives as long as the process)
    for _ in range(PAD_FILE_BLOCKS):
        file.write(_double_block()[:BLOCK_SIZE])
    file.flush()
    return file


@functools.cache
def _double_block() -> bytes:
    return random.Random(20190820).randbytes(BLOCK_SIZE) * 2  # noqa: S311 (padding, not a secret)


@functools.cache
def _sample(container: str) -> bytes:
    if container not in CONTENT_TYPES:
        raise ValueError(f"container must be one of {', '.join(CONTENT_TYPES)}, not {container!r}")
    return (Path(__file__).parent / f"sample.{container}").read_bytes()


def _stretched(container: str, duration: float) -> bytes:
    data = bytearray(_sample(container))
    if duration == SAMPLE_SECONDS or duration <= 0:
        return bytes(data)
    factor = duration / SAMPLE_SECONDS
    if container == "mp4":
        for box in (b"mvhd", b"mdhd"):
            at = data.index(box) + 16
            (timescale,) = struct.unpack_from(">I", data, at)
            struct.pack_into(">I", data, at, max(1, round(timescale / factor)))
    else:
        at = data.index(bytes.fromhex("2ad7b188")) + 4
        struct.pack_into(">Q", data, at, round(1_000_000 * factor))
        _write_duration_tag(data, duration)
    return bytes(data)


def _write_duration_tag(data: bytearray, duration: float) -> None:
    """Keep ffmpeg's own DURATION tag true; it has a fixed width of hours, minutes, seconds and nanoseconds."""
    old = b"00:00:06.000000000"
    at = data.index(old)
    minutes, seconds = divmod(duration, 60)
    hours, minutes = divmod(int(minutes), 60)
    data[at : at + len(old)] = f"{hours:02d}:{minutes:02d}:{seconds:012.9f}".encode()[: len(old)]


def _with_padding(sample: bytes, container: str, gap: int) -> bytes:
    """The sample and the header of a padding element that makes ``gap`` bytes more, header included."""
    if container == "mp4":
        if gap < 8:
            return sample + bytes(gap)
        if gap < 1 << 32:
            return sample + struct.pack(">I4s", gap, b"free")
        return sample + struct.pack(">I4sQ", 1, b"free", gap)
    header = b"\x00"
    if gap >= 9:
        header = b"\xec" + struct.pack(">Q", (gap - 9) | 1 << 56)
    elif gap >= 2:
        header = bytes((0xEC, 0x80 | (gap - 2)))
    # The Void lies inside the Segment, whose size (an 8-byte number in this sample) has to grow with it.
    at = sample.index(bytes.fromhex("18538067")) + 4
    (segment,) = struct.unpack_from(">Q", sample, at)
    return sample[:at] + struct.pack(">Q", segment + gap) + sample[at + 8 :] + header
