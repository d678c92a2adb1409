"""Ways in which a whole recording gets broken: each gives bytes, and none says whether it will be noticed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

HOLE = 64 << 10
SMALL_HOLE = 4 << 10
SHARES = (0.1, 0.3, 0.5, 0.76, 0.97)


class Broken(NamedTuple):
    """One broken file: what was done to it, where, and what came out."""

    kind: str
    at: float
    data: bytes


def _noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _hole(data: bytes, share: float, filler: bytes) -> bytes | None:
    start = int(len(data) * share)
    if start + len(filler) > len(data) or len(data) < 3 * len(filler):
        return None
    return data[:start] + filler + data[start + len(filler) :]


def damages(data: bytes) -> Iterator[Broken]:
    """
    Break a file in every way that needs no knowledge of its container.

    :param data: the whole file.
    """
    size = len(data)
    ways: dict[str, Callable[[float], bytes | None]] = {
        "cut short": lambda share: data[: int(size * share)],
        "cut, padded with zeros": lambda share: data[: int(size * share)].ljust(size, b"\0"),
        "cut, padded with noise": lambda share: data[: int(size * share)] + _noise(size, size - int(size * share)),
        "64 KiB of zeros": lambda share: _hole(data, share, bytes(HOLE)),
        "4 KiB of zeros": lambda share: _hole(data, share, bytes(SMALL_HOLE)),
        "64 KiB of noise": lambda share: _hole(data, share, _noise(size, HOLE)),
        "64 KiB left out": lambda share: (
            data[: int(size * share)] + data[int(size * share) + HOLE :] if size > 3 * HOLE else None
        ),
    }
    for kind, way in ways.items():
        for share in SHARES:
            broken = way(share)
            if broken is not None:
                yield Broken(kind, share, broken)


def rearranged(slices: list[bytes]) -> Iterator[Broken]:
    """
    Lose, double and swap slices of a browser's recording; the first slice has the header and stays.

    :param slices: in the order in which the recorder gave them.
    """
    for at in range(1, len(slices) - 1):
        before, this, behind = slices[:at], slices[at], slices[at + 1 :]
        share = at / len(slices)
        yield Broken("slice lost", share, b"".join([*before, *behind]))
        yield Broken("slice doubled", share, b"".join([*before, this, this, *behind]))
        yield Broken("slices swapped", share, b"".join([*before, behind[0], this, *behind[1:]]))


def part_ends(data: bytes) -> set[int]:
    """
    Say where a file may be cut so that what is left is a whole recording that ended earlier.

    :param data: a WebM or Matroska file, or an MP4.
    :return: the end of every element of its clusters, or of every box.
    """
    return set(_element_ends(data) if data.startswith(b"\x1a\x45\xdf\xa3") else _box_ends(data))


def _element_ends(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        id_size = 9 - data[at].bit_length()
        size_at = at + id_size
        size_size = 9 - data[size_at].bit_length()
        body = size_at + size_size
        if data[at : at + id_size] in (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"):  # Segment, Cluster: go in
            at = body
            continue
        at = body + (int.from_bytes(data[size_at:body], "big") & ((1 << 7 * size_size) - 1))
        yield at


def _box_ends(data: bytes) -> Iterator[int]:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        at += size or len(data)
        yield at
