"""
What each depth of looking finds, and what it costs: the tables of docs/media.md.

    python -m tests.media_corpus.measure CORPUS            what is found, on files that ``MEDIA_CORPUS=CORPUS`` kept
    python -m tests.media_corpus.measure --cost FILE...    what it costs, on long files
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from airflow_provider_iinked.media import packets, payload
from airflow_provider_iinked.media.container import SNIFF_SIZE, container_of, container_suffix
from airflow_provider_iinked.media.structure import Structure
from tests.media_corpus.damage import damages

FILES = [
    "h264.mp4",
    "h264-faststart.mp4",
    "h264-fragmented.mp4",
    "h264.mkv",
    "vp8.webm",
    "vp9.webm",
    "vp9.mp4",
    "vp9-fragmented.mp4",
    "av1.mp4",
    "av1-fragmented.mp4",
    "av1.webm",
    "hevc.mp4",
    "bframes.mkv",
    "silent-pcm.mov",
    "chromium-vp8.webm",
    "chromium-vp9.mp4",
    "chromium-h264.mp4",
]


def _no_walk() -> None:
    packets.walk = lambda *_: Structure()  # type: ignore[assignment]


def _no_filters() -> None:
    packets._FILTERS.clear()
    packets._OWN_RULES.clear()


def _no_zeros() -> None:
    payload.blank_problem = lambda *_, **__: None


def _mp4toannexb_only() -> None:
    packets._FILTERS.update(vp9="vp9_superframe_split")


def _key_frames() -> None:
    decode = packets._Reading._decode

    def key_frames(self: Any, packet: Any, stream: Any) -> None:
        if stream.type == "video" and (packet.is_keyframe or not packet.size):
            decode(self, packet, stream)

    packets._Reading._decode = key_frames  # type: ignore[method-assign]


DEPTHS: dict[str, tuple[packets.Depth, tuple[Callable[[], None], ...]]] = {
    "packets read, time line only": ("packets", (_no_walk, _no_filters, _no_zeros)),
    "and their bytes: zeros": ("packets", (_no_walk, _no_filters)),
    "and the file's parts": ("packets", (_no_filters,)),
    "and filters, vp9_superframe_split": ("packets", (_mp4toannexb_only,)),
    "and filters, vp9_metadata (the default)": ("packets", ()),
    "the default and key frames decoded": ("decode", (_key_frames,)),
    "the default and all decoded": ("decode", ()),
    "all decoded, without walk, filters, zeros": ("decode", (_no_walk, _no_filters, _no_zeros)),
}


def judge(path: str, depth: packets.Depth) -> bool:
    with open(path, "rb") as file:
        suffix = container_suffix(file.read(SNIFF_SIZE))
    demuxer = container_of(suffix).demuxer if suffix else None
    return not demuxer or bool(packets.examine(path, demuxer=demuxer, depth=depth, expected=None).problems)


def _found(name: str, folder: Path) -> tuple[Counter[str], Counter[str]]:
    depth, changes = DEPTHS[name]
    for change in changes:
        change()
    total, found = Counter[str](), Counter[str]()
    with NamedTemporaryFile() as scratch:
        for file in FILES:
            for broken in damages((folder / file).read_bytes()):
                Path(scratch.name).write_bytes(broken.data)
                total[broken.kind] += 1
                found[broken.kind] += judge(scratch.name, depth)
    return total, found


def _cost(name: str, path: str) -> str:
    depth, changes = DEPTHS[name]
    for change in changes:
        change()
    started = time.process_time()
    assert not judge(path, depth), path
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return f"{time.process_time() - started:.1f} s, {peak} MiB"


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--cost"]:
        for path in arguments[1:]:
            for name in DEPTHS:
                with ProcessPoolExecutor(1) as pool:  # each depth changes its process
                    print(f"| {Path(path).name} | {name} | {pool.submit(_cost, name, path).result()} |", flush=True)
        return
    for name in DEPTHS:
        with ProcessPoolExecutor(1) as pool:
            total, found = pool.submit(_found, name, Path(arguments[0])).result()
        cells = " | ".join(f"{found[kind]} of {total[kind]}" for kind in sorted(total))
        print(f"| {name} | {cells} |", flush=True)
    print("kinds:", ", ".join(sorted(total)))


if __name__ == "__main__":
    main(sys.argv[1:])
