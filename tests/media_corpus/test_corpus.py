"""
Recordings that real recorders make: all whole ones pass, what was broken is refused, and two players are the referees.

Run by ``make test-media``; needs ffmpeg, GStreamer and Chromium, and takes minutes. ``MEDIA_CORPUS=FOLDER`` keeps the
files and uses them again, ``MEDIA_TABLE=FILE`` writes the table of docs/media.md.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor as Threads
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.media.container import SNIFF_SIZE, container_of, container_suffix
from tests.media_corpus import browser, encoders, odd
from tests.media_corpus.damage import Broken, damages, part_ends, rearranged

pytestmark = pytest.mark.skipif(
    not os.environ.get("IINKED_SKIP_NOTHING") and bool(encoders.missing_tools() or not browser.find_chromium()),
    reason="needs ffmpeg, GStreamer and Chromium",
)

LEAST_WHOLE = 60
UNCHECKED = (".ts", ".wmv")
HEADER_LIES = ("header-says-an-hour.mkv",)
# What nobody can notice: PCM has no structure of its own, so whatever lies there plays; and a file with three bytes a
# packet consists mostly of an index that players do without.
FORMLESS = ("audio.wav", "audio-pcm.mov", "silent-pcm.mov", "silent-pcm-faststart.mov", "gst-audio-dtx.webm")


class Corpus:
    """The folder with all files, and how long each of them should play."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}

    def make(self) -> None:
        encoders.make(self.folder)
        recorded = browser.record(self.folder, repair=_repair_library())
        assert not [name for name, result in recorded.items() if "error" in result], recorded

    @property
    def whole(self) -> list[Path]:
        files = [path for path in sorted(self.folder.iterdir()) if path.suffix not in (".json", *UNCHECKED)]
        return [path for path in files if not path.suffix[1:].isdigit()]

    def slices(self) -> Iterator[tuple[str, list[bytes]]]:
        for path in self.whole:
            numbers = range(len(list(self.folder.glob(f"{path.name}.[0-9]*"))))
            if len(numbers) > 2:
                yield path.name, [(self.folder / f"{path.name}.{number}").read_bytes() for number in numbers]


def _repair_library() -> Path | None:
    folder = os.environ.get("FIX_WEBM_DURATION")
    return Path(folder) / "fix-webm-duration.js" if folder else None


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    kept = os.environ.get("MEDIA_CORPUS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("media")
    made = Corpus(folder)
    if not kept or not folder.is_dir() or not list(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        made.make()
    return made


def judge(path: str, expected: float | None = None, depth: Any = "packets") -> list[str]:
    """In this process: the child's own start would take most of the time. test_check.py has tests of that."""
    from airflow_provider_iinked.media.packets import examine

    with open(path, "rb") as file:
        suffix = container_suffix(file.read(SNIFF_SIZE))
    if suffix is None:
        return ["it is no media container"]
    demuxer = container_of(suffix).demuxer
    return examine(path, demuxer=demuxer, depth=depth, expected=expected).problems if demuxer else ["not checked"]


def judge_damages(path: Path, scratch: Path) -> list[tuple[str, float, bool]]:
    """Break a file in every way, and say for each whether that was noticed."""
    ends = part_ends(data := path.read_bytes())
    found = []
    for broken in damages(data):
        # A browser's file differs from run to run; cut exactly between two parts it is one that ended earlier, and
        # only the API's length tells.
        told = encoders.SECONDS if broken.kind == "cut short" and len(broken.data) in ends else None
        found.append((broken.kind, broken.at, bool(_judge_bytes(broken, scratch, told))))
    return found


def _judge_bytes(broken: Broken, scratch: Path, expected: float | None = None) -> list[str]:
    file = scratch / f"broken-{os.getpid()}"
    file.write_bytes(broken.data)
    return judge(str(file), expected)


def test_there_are_enough_whole_recordings_of_each_recorder(corpus: Corpus) -> None:
    names = [path.name for path in corpus.whole]
    assert len(names) >= LEAST_WHOLE
    assert len([name for name in names if name.startswith("gst-")]) >= 10
    assert len([name for name in names if name.startswith("chromium-sliced-")]) >= 5


@pytest.mark.parametrize("depth", ["packets", "decode"])
def test_every_whole_recording_passes(corpus: Corpus, depth: str) -> None:
    paths = [path for path in corpus.whole if path.name not in HEADER_LIES]
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(judge, map(str, paths), [None] * len(paths), [depth] * len(paths)))
    assert {path.name: problems for path, problems in zip(paths, found, strict=True) if problems} == {}


def test_every_odd_whole_recording_passes(tmp_path: Path) -> None:
    odd.make(tmp_path)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) >= 60
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(judge, map(str, paths)))
    assert {path.name: problems for path, problems in zip(paths, found, strict=True) if problems} == {}


def test_a_header_that_says_an_hour_is_overruled_by_the_api(corpus: Corpus) -> None:
    path = str(corpus.folder / HEADER_LIES[0])
    assert judge(path, encoders.SECONDS) == []
    assert judge(path) == ["its header claims 3600.0 s, its packets play 8.0 s"]


def test_containers_that_cannot_be_checked_are_recognized(corpus: Corpus) -> None:
    found = {
        path.suffix: container_suffix(path.read_bytes()[:SNIFF_SIZE]) for path in corpus.folder.glob("*.[tw][sm]*")
    }
    assert {suffix: found[suffix] for suffix in UNCHECKED} == {suffix: suffix for suffix in UNCHECKED}


def test_every_lost_doubled_or_swapped_slice_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    missed, count = [], 0
    for name, slices in corpus.slices():
        for broken in rearranged(slices):
            count += 1
            if not _judge_bytes(broken, tmp_path):
                missed.append((name, broken.kind, broken.at))
    assert count >= 60
    assert [entry for entry in missed if not _lost_first_media(corpus, *entry)] == []


def _lost_first_media(corpus: Corpus, name: str, kind: str, at: float) -> bool:
    """Without its first piece of media a recording is one that begins later; only the API's length tells."""
    number = round(at * len(list(corpus.folder.glob(f"{name}.[0-9]*"))))
    return kind == "slice lost" and number == 1


def test_damage_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    total, found, missed = Counter[str](), Counter[str](), defaultdict[str, list[str]](list)
    with ProcessPoolExecutor(2) as pool:
        for path, results in zip(
            corpus.whole, pool.map(judge_damages, corpus.whole, [tmp_path] * len(corpus.whole)), strict=True
        ):
            for kind, at, noticed in results:
                total[kind] += 1
                found[kind] += noticed
                if not noticed:
                    missed[kind].append(f"{path.name} at {at:.0%}")
    table = "\n".join(f"| {kind} | {found[kind]} of {total[kind]} | {', '.join(missed[kind])} |" for kind in total)
    if "MEDIA_TABLE" in os.environ:
        Path(os.environ["MEDIA_TABLE"]).write_text(table + "\n")
    assert [name for kind, names in missed.items() for name in names if not _may_pass(kind, name)] == [], table


def _may_pass(kind: str, name: str) -> bool:
    if kind == "cut, padded with noise" and name == "chromium-audio.mp4 at 97%":
        # The browser's last fragment differs from run to run; where the cut falls into its last packets, these keep
        # their lengths, and sound is decoded from any bytes.
        return True
    return name.startswith(FORMLESS) and kind != "cut short"


# --- referees ---------------------------------------------------------------------------------------------------------


def test_ffmpeg_decodes_every_whole_recording_without_a_word(corpus: Corpus) -> None:
    def decode(path: Path) -> str:
        command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(path), "-map", "0:v?", "-map", "0:a?"]
        done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True)
        return "" if done.returncode == 0 else done.stderr[:200]

    with Threads(2) as pool:
        found = dict(zip([path.name for path in corpus.whole], pool.map(decode, corpus.whole), strict=True))
    assert {name: words for name, words in found.items() if words} == {}


def test_chromium_plays_every_whole_recording_to_its_end(corpus: Corpus) -> None:
    plays = [path for path in corpus.whole if path.suffix in (".webm", ".mp4", ".m4a", ".opus", ".wav")]
    results = browser.play(plays, corpus.folder)
    failed = {name: result for name, result in results.items() if not result["ended"]}
    assert failed == {}
