"""A copy that plays: whole recordings pass, cut, padded, blanked and mislabelled ones are never published."""

from __future__ import annotations

import random
import struct
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError, TransferError
from airflow_provider_iinked.media.matroska import MatroskaWalker
from airflow_provider_iinked.media.mp4 import BrokenMediaError, Mp4Walker
from airflow_provider_iinked.media.streamed import MediaCheck, SparseFile
from airflow_provider_iinked.simulator import Fault
from airflow_provider_iinked.simulator.media.content import Content

pytest.importorskip("pymediainfo", reason="the extra 'media' is not installed")

SIZE = 20_000
MP4 = Content(seed="a", size=SIZE).read()
WEBM = Content(seed="a", size=SIZE, container="webm").read()
MOOV, MDAT = 32, 871
MP4_END, WEBM_END = 3796, 4330
"""Where the sample ends and the padding begins."""


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def index_last() -> bytes:
    """The same recording with its index behind the media data, as recorders write it."""
    moov = bytearray(MP4[MOOV : MOOV + 831])
    at = moov.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, at)
    for entry in range(at + 4, at + 4 + 4 * count, 4):
        struct.pack_into(">I", moov, entry, struct.unpack_from(">I", moov, entry)[0] - 831)
    return MP4[:MOOV] + MP4[MOOV + 831 : MP4_END] + bytes(moov)


def fragmented(blank: slice | None = None) -> bytes:
    """One track in fragments: two samples of 20,000 bytes, a second each."""
    avcc = box(b"avcC", bytes([1, 66, 0, 30, 0xFF, 0xE0, 0]))
    entry = box(b"avc1", bytes(6), struct.pack(">H", 1), bytes(70), avcc)
    stsd = box(b"stsd", bytes(4), struct.pack(">I", 1), entry)
    empty = [
        box(kind, bytes(4), bytes(size)) for kind, size in ((b"stts", 4), (b"stsc", 4), (b"stsz", 8), (b"stco", 4))
    ]
    stbl = box(b"stbl", stsd, *empty)
    mdhd = box(b"mdhd", bytes(12), struct.pack(">II", 1000, 0), bytes(4))
    mdia = box(b"mdia", mdhd, box(b"hdlr", bytes(8), b"vide", bytes(13)), box(b"minf", stbl))
    trak = box(b"trak", box(b"tkhd", bytes(12), struct.pack(">I", 1), bytes(68)), mdia)
    trex = box(b"trex", bytes(4), struct.pack(">IIIII", 1, 1, 1000, 0, 0))
    moov = box(b"moov", trak, box(b"mvex", trex))
    sample = struct.pack(">I", 19_996) + b"\x65" * 19_996
    head = len(box(b"moof", box(b"traf", box(b"tfhd", bytes(8)), box(b"trun", bytes(8 + 4 + 8)))))
    run = struct.pack(">IIi", 0x201, 2, head + 8) + struct.pack(">II", 20_000, 20_000)
    moof = box(b"moof", box(b"traf", box(b"tfhd", struct.pack(">II", 0x20000, 1)), box(b"trun", run)))
    whole = bytearray(box(b"ftyp", b"iso5", bytes(4)) + moov + moof + box(b"mdat", sample, sample))
    if blank:
        whole[blank] = bytes(len(whole[blank]))
    return bytes(whole)


def walk(walker: Any, data: bytes, step: int = 1 << 20) -> Any:
    for at in range(0, len(data), step):
        walker.feed(data[at : at + step])
    walker.finish()
    return walker


CHANGE = st.tuples(st.integers(0, WEBM_END), st.integers(0, 255))
WALKERS = pytest.mark.parametrize(
    ("kind", "data", "end"), [(Mp4Walker, MP4, MP4_END), (MatroskaWalker, WEBM, WEBM_END)], ids=["mp4", "webm"]
)


@WALKERS
@pytest.mark.parametrize("step", [1, 7, 4096, SIZE])
def test_a_whole_recording_passes_in_pieces_of_any_size(kind: Any, data: bytes, end: int, step: int) -> None:
    assert walk(kind(len(data)), data, step).samples_checked == 12


@WALKERS
@pytest.mark.parametrize("padding", ["zeros", "noise"])
@settings(deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_and_padded_to_its_length_it_is_refused(
    kind: Any, data: bytes, end: int, padding: str, share: float
) -> None:
    cut = int(share * end)
    filler = bytes(SIZE - cut) if padding == "zeros" else random.Random(cut).randbytes(SIZE - cut)

    with pytest.raises(BrokenMediaError):
        walk(kind(SIZE), data[:cut] + filler)


@WALKERS
@settings(deadline=None)
@given(cut=st.integers(0, WEBM_END))
def test_cut_short_it_is_refused(kind: Any, data: bytes, end: int, cut: int) -> None:
    with pytest.raises(BrokenMediaError):
        walk(kind(cut), data[:cut])


@WALKERS
@settings(deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, WEBM_END), st.integers(0, 255)), max_size=20), step=st.integers(1, 999)
)
@example(changes=[], step=1)
def test_damage_of_any_kind_raises_nothing_else(
    kind: Any, data: bytes, end: int, changes: list[tuple[int, int]], step: int
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place] = value
    try:
        walk(kind(SIZE), bytes(damaged), step)
    except BrokenMediaError:
        return


@settings(deadline=None)
@given(noise=st.binary(max_size=300), start=st.sampled_from([b"", MP4[:MDAT], MP4[:40], WEBM[:400], WEBM[:48]]))
def test_noise_raises_nothing_else(noise: bytes, start: bytes) -> None:
    for kind in (Mp4Walker, MatroskaWalker):
        try:
            walk(kind(len(start + noise)), start + noise)
        except BrokenMediaError:
            continue


def test_an_index_at_the_end_is_read_too() -> None:
    facts = check(".mp4", index_last(), seconds=6)
    assert (facts["duration"], facts["api_duration"]) == (6.0, 6.0)


def test_with_the_index_at_the_end_cut_and_padded_is_refused() -> None:
    data = index_last()

    with pytest.raises(BrokenMediaError):
        walk(Mp4Walker(len(data)), data[:2000] + bytes(len(data) - 2000))


def test_with_the_index_at_the_end_an_index_that_points_elsewhere_is_refused() -> None:
    data = bytearray(index_last())
    struct.pack_into(">I", data, data.index(b"stco") + 12, len(data) - 100)

    with pytest.raises(BrokenMediaError, match="no media data"):
        walk(Mp4Walker(len(data)), bytes(data))


def test_fragments_are_looked_into_and_their_length_is_added_up() -> None:
    walked = walk(Mp4Walker(len(fragmented())), fragmented(), 1000)
    assert (walked.samples_checked, walked.played) == (2, 2.0)


def test_a_hole_in_a_fragment_is_refused() -> None:
    data = fragmented(slice(-20_000, -10_000))

    with pytest.raises(BrokenMediaError, match="damaged or blank"):
        walk(Mp4Walker(len(data)), data)


def test_a_long_blank_where_a_sample_begins_is_found_when_the_index_comes_last() -> None:
    boxes = fragmented()
    moof, mdat = boxes.index(b"moof") - 4, boxes.index(b"mdat") - 4
    blank = bytearray(boxes[mdat:])
    blank[8 + 20_000 : 8 + 26_000] = bytes(6_000)
    # Offsets of a fragment may point backwards, to media data that went by.
    turned = bytearray(boxes[:moof] + bytes(blank) + boxes[moof:mdat])
    at = turned.index(b"trun") + 12
    struct.pack_into(">i", turned, at, 8 - len(blank))

    with pytest.raises(BrokenMediaError, match="blank"):
        walk(Mp4Walker(len(turned)), bytes(turned))


def check(suffix: str, data: bytes, seconds: float | None) -> dict[str, Any]:
    checked = MediaCheck(suffix, len(data), None if seconds is None else timedelta(seconds=seconds))
    for at in range(0, len(data), 1000):
        checked.feed(data[at : at + 1000])
    return checked.finish()


@pytest.mark.parametrize(("container", "codec"), [("mp4", "AVC"), ("webm", "VP8")])
@pytest.mark.parametrize("seconds", [6, 312])
def test_the_facts_name_length_and_tracks(container: str, codec: str, seconds: int) -> None:
    data = Content(seed="a", size=3_000_000, container=container, duration=seconds).read()

    facts = check(f".{container}", data, seconds)

    assert facts["duration"] == pytest.approx(seconds, abs=0.1)
    assert [(track["track_type"], track["format"]) for track in facts["tracks"]] == [("Video", codec)]


@pytest.mark.parametrize(
    ("told", "passes"),
    [(300, True), (294.2, True), (305.9, True), (293, False), (307, False), (600, False), (None, True)],
)
def test_it_must_play_as_long_as_the_api_says_within_two_percent(told: float | None, passes: bool) -> None:
    data = Content(seed="a", size=SIZE, duration=300).read()
    if passes:
        assert check(".mp4", data, told)["api_duration"] == told
        return
    with pytest.raises(TransferError, match="the API says"):
        check(".mp4", data, told)


@pytest.mark.parametrize(("told", "passes"), [(5.1, True), (6.9, True), (4.9, False), (7.1, False)])
def test_a_short_one_within_a_second(told: float, passes: bool) -> None:
    if passes:
        assert check(".mp4", MP4, told)["duration"] == 6.0
        return
    with pytest.raises(TransferError, match="the API says"):
        check(".mp4", MP4, told)


def test_a_container_that_cannot_be_checked_is_refused() -> None:
    with pytest.raises(TransferError, match=r"\.flv"):
        MediaCheck(".flv", 100, None)


@settings(deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 10)), max_size=5),
    reads=st.lists(st.tuples(st.integers(0, 110), st.integers(-1, 120)), max_size=5),
)
def test_a_sparse_file_reads_like_the_file_with_holes(parts: Any, reads: Any) -> None:
    whole = bytes(range(1, 101))
    holed = bytearray(100)
    for start, length in parts:
        holed[start : start + length] = whole[start : start + length]
    sparse = SparseFile(100, [(start, whole[start : start + length]) for start, length in parts])

    for place, count in reads:
        sparse.seek(place)
        assert sparse.read(count) == (holed[place:] if count < 0 else holed[place : place + count])


# --- in the chain -------------------------------------------------------------------------------------------------


def spoil(chain: Any, package: str, video: str, cut: int, filler: bytes = b"\0") -> None:
    """Serve a recording that was cut and padded to its length."""
    content = chain.sim.video(package, video).content
    content._head = content._head[:cut] + filler * (len(content._head) - cut)
    content._sha256 = None


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_a_copy_that_plays_is_published_and_its_record_says_so(chain: Any, container: str) -> None:
    import json

    package, (video,) = chain.package({"container": container, "size": 500_000, "duration": 90})

    (copy,) = chain.download(package, check_media=True)

    record = json.loads(chain.path(package, f"{video}.custody.json").read_text())
    assert record["media"]["duration"] == pytest.approx(90, abs=0.1)
    assert record["media"]["api_duration"] == 90
    assert record["media"]["samples_checked"] == 12
    chain.delete(verified_copies=[copy])
    assert chain.ledger.deletions == [video]


@pytest.mark.parametrize("container", ["mp4", "webm"])
@pytest.mark.parametrize("cut", [100, 700, 2000, 3500])
def test_a_recording_that_was_cut_and_padded_passes_the_lengths_and_is_refused(
    chain: Any, container: str, cut: int
) -> None:
    package, (bad, good) = chain.package({"container": container}, {"container": container})
    spoil(chain, package, bad, cut)

    with pytest.raises(IinkedSignError, match=bad):
        chain.download(package, check_media=True)

    assert [name.partition(".")[0] for name in chain.names(package)] == [good, good]
    assert len(chain.download(package)) == 2  # nothing but the check stood in its way


def test_a_recording_of_another_length_is_refused(chain: Any) -> None:
    package, (video,) = chain.package({"duration": 60})
    chain.sim.set_fields(package, video, duration="PT2M")

    with pytest.raises(IinkedSignError, match="the API says"):
        chain.download(package, check_media=True)

    assert chain.names(package) == []


def test_a_recording_without_a_told_length_is_checked_for_being_whole(chain: Any) -> None:
    package, (good, bad) = chain.package("good", "bad")
    chain.sim.quirks.omit_fields = frozenset({"duration"})
    spoil(chain, package, bad, 2000)

    with pytest.raises(IinkedSignError, match=bad):
        chain.download(package, check_media=True)

    assert [name.partition(".")[0] for name in chain.names(package)] == [good, good]


def test_a_transfer_that_breaks_off_goes_on_inside_the_same_check(chain: Any) -> None:
    package, _ = chain.package({"size": 5_000_000, "duration": 90})
    chain.sim.faults.add(Fault(call="recording", kind="cut", after=1000, on=1))
    chain.sim.faults.add(Fault(call="recording", kind="cut", after=2_000_000, on=2))

    (copy,) = chain.download(package, check_media=True)

    assert copy["size"] == 5_000_000


def test_a_transfer_that_starts_over_starts_its_check_over(chain: Any) -> None:
    package, _ = chain.package({"size": 5_000_000, "duration": 90})
    chain.sim.quirks.accept_ranges = False
    chain.sim.faults.add(Fault(call="recording", kind="cut", after=2_000_000))

    (copy,) = chain.download(package, check_media=True)

    assert copy["size"] == 5_000_000


def test_without_the_extra_nothing_is_sent(chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package, _ = chain.package("video-1")
    monkeypatch.setitem(sys.modules, "pymediainfo", None)

    with pytest.raises(InvalidArgumentError, match=r"airflow-provider-iinked\[media\]"):
        chain.download(package, check_media=True)

    assert chain.ledger.requests() == []


def test_mediainfo_is_loaded_only_when_it_is_used(chain: Any) -> None:
    import subprocess

    code = "import sys, airflow_provider_iinked.download.workflow; print('pymediainfo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("value", ["True", None, 1])
def test_check_media_must_be_a_boolean(chain: Any, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="check_media"):
        chain.download("some-package", check_media=value)
