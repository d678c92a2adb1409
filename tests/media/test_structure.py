"""A walk along the parts of a file: whole ones pass, and what was cut, padded or holed does not."""

from __future__ import annotations

import io
import random
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("av", reason="the extra 'media' is not installed")

from airflow_provider_iinked.media.structure import BrokenStructureError, Structure, walk
from tests.media.samples import CLUSTER, FRAGMENTS, LIVE, clusters, recording

MP4 = ("mov", recording(".mp4", "libx264", "aac"))
FRAGMENTED = ("mov", recording(".mp4", "libx264", "aac", FRAGMENTS))
WEBM = ("matroska", recording(".webm"))
LIVE_WEBM = ("matroska", recording(".webm", options=LIVE))
OGG = ("ogg", recording(".oga", None, "libopus"))
FLV = ("flv", recording(".flv", "libx264", "aac"))
AVI = ("avi", recording(".avi", "mpeg4", "libmp3lame"))
WAV = ("wav", recording(".wav", None, "pcm_s16le"))
ALL = pytest.mark.parametrize(
    ("demuxer", "data"),
    [MP4, FRAGMENTED, WEBM, LIVE_WEBM, OGG, FLV, AVI, WAV],
    ids=["mp4", "fragmented mp4", "webm", "live webm", "ogg", "flv", "avi", "wav"],
)


def walked(demuxer: str, data: bytes) -> Structure:
    return walk(io.BytesIO(data), len(data), demuxer)


@ALL
def test_a_whole_file_passes(demuxer: str, data: bytes) -> None:
    assert isinstance(walked(demuxer, data), Structure)


@ALL
@settings(deadline=None, max_examples=40)
@given(share=st.floats(0.01, 0.999))
def test_cut_inside_a_part_it_is_refused(demuxer: str, data: bytes, share: float) -> None:
    cut = data[: int(len(data) * share)]
    if _ends_a_part(demuxer, data, len(cut)):
        return
    with pytest.raises(BrokenStructureError):
        walked(demuxer, cut)


def _ends_a_part(demuxer: str, data: bytes, at: int) -> bool:
    """A file may end anywhere between two parts; that such a file is too short is for its time line to say."""
    if demuxer == "ogg":
        return data[at : at + 4] == b"OggS"
    if demuxer == "flv":
        return data[at] & 0x1F in (8, 9, 18) and _passes(demuxer, data[:at])
    return demuxer == "matroska" and _passes(demuxer, data[:at]) and _passes(demuxer, data[:at] + b"\xec\x80")


def _passes(demuxer: str, data: bytes) -> bool:
    try:
        walked(demuxer, data)
    except BrokenStructureError:
        return False
    return True


@ALL
@pytest.mark.parametrize(
    "more", [random.Random(3).randbytes(5_000), bytes(5_000) + b"x"], ids=["noise", "not only zeros"]
)
def test_with_something_behind_its_end_it_is_refused(demuxer: str, data: bytes, more: bytes) -> None:
    with pytest.raises(BrokenStructureError):
        walked(demuxer, data + more)


@pytest.mark.parametrize(("demuxer", "data"), [FRAGMENTED, LIVE_WEBM, OGG, FLV, AVI, WAV])
def test_padded_where_no_part_says_that_nothing_follows_it_is_refused(demuxer: str, data: bytes) -> None:
    """The zeros may stand for media that is lost."""
    with pytest.raises(BrokenStructureError):
        walked(demuxer, data + bytes(5_000))


@pytest.mark.parametrize("count", [1, 3, 7, 8, 16, 5_000])
@pytest.mark.parametrize(("demuxer", "data"), [MP4, WEBM], ids=["mp4", "webm"])
def test_zeros_behind_a_file_whose_index_or_segment_is_complete_are_padding(
    demuxer: str, data: bytes, count: int
) -> None:
    assert walked(demuxer, data + bytes(count)).media == walked(demuxer, data).media


@ALL
@settings(deadline=None, max_examples=60)
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=20))
@example(changes=[])
def test_damage_of_any_kind_raises_nothing_else(demuxer: str, data: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(data)] = value
    _passes(demuxer, bytes(damaged))


@settings(deadline=None)
@given(noise=st.binary(max_size=300), start=st.sampled_from([b"", MP4[1][:40], WEBM[1][:48], WEBM[1][:400]]))
def test_noise_raises_nothing_else(noise: bytes, start: bytes) -> None:
    for demuxer in ("mov", "matroska", "ogg", "flv", "avi", "wav"):
        _passes(demuxer, start + noise)


def test_an_index_that_is_missing_is_named() -> None:
    data = MP4[1]
    moov = data.index(b"moov") - 4
    with pytest.raises(BrokenStructureError, match="moov"):
        walked("mov", data[:moov])


def test_where_media_lies_is_known() -> None:
    found = walked(*MP4)
    start = MP4[1].index(b"mdat") + 4
    (size,) = struct.unpack_from(">I", MP4[1], start - 8)
    end = start - 8 + size
    assert found.media == [(start, end)]
    assert [found.holds(*span) for span in ((start, end), (start - 1, end), (start, end + 1))] == [True, False, False]


def test_fragments_are_seen() -> None:
    assert [walked(*file).fragmented for file in (MP4, FRAGMENTED)] == [False, True]


def test_the_length_that_a_webm_header_claims_is_read() -> None:
    assert walked(*WEBM).header_seconds == pytest.approx(4, abs=0.1)
    assert walked(*LIVE_WEBM).header_seconds is None


def test_a_file_whose_parts_all_end_where_they_say_is_sealed() -> None:
    assert walked(*WEBM).sealed
    assert walked("matroska", WEBM[1] + bytes(9)).sealed
    assert not walked(*LIVE_WEBM).sealed


def test_a_webm_without_one_of_its_clusters_is_not_sealed() -> None:
    head, first, second, *others = clusters(recording(".webm", options=(("cluster_time_limit", "500"),)))
    assert walked("matroska", b"".join([head, first, second, *others])).sealed
    assert not walked("matroska", b"".join([head, first, *others])).sealed


def test_clusters_that_lie_inside_the_first_one_pass() -> None:
    """The usual repair of a sliced browser recording gives its first Cluster the size of all that follows."""
    head, first, *others = clusters(LIVE_WEBM[1])
    body = first[4 + 9 - first[4].bit_length() :]
    repaired = CLUSTER + struct.pack(">Q", 1 << 56 | len(body + b"".join(others))) + body

    assert _passes("matroska", b"".join([head, repaired, *others]))
    assert not walked("matroska", b"".join([head, repaired, *others])).sealed


def test_a_second_recording_behind_the_first_is_refused() -> None:
    with pytest.raises(BrokenStructureError, match="another recording begins"):
        walked("matroska", LIVE_WEBM[1] * 2)
