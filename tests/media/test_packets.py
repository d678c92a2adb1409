"""Whole recordings pass, broken ones are refused, each by FFmpeg's reading of a small file."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("av", reason="the extra 'media' is not installed")

from airflow_provider_iinked.media.container import container_of, container_suffix
from airflow_provider_iinked.media.packets import examine
from airflow_provider_iinked.media.report import Depth, Report
from tests.media.samples import CMAF, FIRST_IN_MOOV, FRAGMENTS, LIVE, SECONDS, clusters, recording

Examine = Callable[..., Report]


@pytest.fixture
def judge(tmp_path: Path) -> Examine:
    def run(data: bytes, *, expected: float | None = None, depth: Depth = "packets") -> Report:
        suffix = container_suffix(data)
        assert suffix, "no container"
        path = tmp_path / "recording"
        path.write_bytes(data)
        return examine(str(path), demuxer=container_of(suffix).demuxer or "", depth=depth, expected=expected)

    return run


WHOLE = {
    "H.264 MP4": (".mp4", "libx264", "aac"),
    "index first": (".mp4", "libx264", "aac", (("movflags", "+faststart"),)),
    "H.264 fragments": (".mp4", "libx264", "aac", FRAGMENTS),
    "first fragment in moov": (".mp4", "libx264", "aac", FIRST_IN_MOOV),
    "VP9 fragments": (".mp4", "libvpx-vp9", "libopus", FRAGMENTS),
    "AV1 fragments": (".mp4", "libsvtav1", "libopus", FRAGMENTS),
    "H.265": (".mp4", "libx265", "aac"),
    "QuickTime": (".mov", "libx264", "pcm_s16le"),
    "M4V": (".m4v", "libx264", "aac"),
    "VP8 WebM": (".webm", "libvpx", "libopus"),
    "VP9 WebM": (".webm", "libvpx-vp9", "libopus"),
    "live WebM": (".webm", "libvpx", "libopus", LIVE),
    "H.264 Matroska": (".mkv", "libx264", "libopus"),
    "AV1 Matroska": (".mkv", "libsvtav1", "libopus"),
    "AVI": (".avi", "mpeg4", "libmp3lame"),
    "FLV": (".flv", "libx264", "aac"),
    "only video": (".webm", "libvpx", None),
    "only audio, WebM": (".webm", None, "libopus"),
    "only audio, M4A": (".m4a", None, "aac"),
    "only audio, fragments": (".mp4", None, "aac", FRAGMENTS),
    "only audio, Ogg": (".oga", None, "libopus"),
    "only audio, WAV": (".wav", None, "pcm_s16le"),
}
EACH = pytest.mark.parametrize("name", WHOLE)
CODED = pytest.mark.parametrize("name", ["H.264 MP4", "VP9 fragments", "AV1 fragments", "VP8 WebM", "H.264 Matroska"])


def whole(name: str, **how: object) -> bytes:
    return recording(*WHOLE[name], **how)  # type: ignore[arg-type]


@EACH
@pytest.mark.parametrize("depth", ["packets", "decode"])
def test_a_whole_recording_passes(judge: Examine, name: str, depth: Depth) -> None:
    assert judge(whole(name), depth=depth, expected=SECONDS).problems == []


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".avi"])
def test_silence_in_pcm_beside_video_passes(judge: Examine, suffix: str) -> None:
    assert judge(recording(suffix, "libx264", "pcm_s16le", loud=0)).problems == []


@pytest.mark.parametrize("pace", [10, 20])
@pytest.mark.parametrize(("suffix", "options"), [(".webm", ()), (".webm", LIVE), (".mp4", FRAGMENTS), (".mkv", ())])
def test_slow_pictures_pass(judge: Examine, suffix: str, options: tuple[tuple[str, str], ...], pace: float) -> None:
    video = "libx264" if suffix == ".mp4" else "libvpx"
    assert judge(recording(suffix, video, None, options, pace=pace, seconds=12)).problems == []


@pytest.mark.parametrize(("suffix", "options"), [(".webm", LIVE), (".mp4", FRAGMENTS), (".webm", ())])
def test_a_recording_that_does_not_start_at_0_plays_from_its_first_packet(
    judge: Examine, suffix: str, options: tuple[tuple[str, str], ...]
) -> None:
    data = recording(suffix, "libvpx-vp9", "libopus", options, start=40)
    assert judge(data, expected=SECONDS).problems == []


def test_facts_for_the_record_name_length_and_tracks(judge: Examine) -> None:
    facts = judge(whole("VP8 WebM"), expected=SECONDS).facts
    assert facts["duration"] == pytest.approx(SECONDS, abs=0.1)
    assert facts["api_duration"] == SECONDS
    assert facts["tracks"] == [
        {"type": "video", "codec": "vp8", "width": 160, "height": 90},
        {"type": "audio", "codec": "opus", "sample_rate": 48_000, "channels": 1},
    ]
    assert facts["checked_with"].startswith("av ")


# --- broken -----------------------------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("filler", ["nothing", "zeros", "noise"])
@pytest.mark.parametrize("share", [0.3, 0.97])
def test_cut_and_padded_it_is_refused(judge: Examine, name: str, filler: str, share: float) -> None:
    data = whole(name)
    cut = data[: int(len(data) * share)]
    rest = len(data) - len(cut)
    more = {"nothing": b"", "zeros": bytes(rest), "noise": random.Random(rest).randbytes(rest)}[filler]
    if (name == "only audio, WAV" and more) or (name == "AVI" and share > 0.9):
        return  # PCM has no headers: what was put into its place plays. The end of an AVI is its index, which may lack.
    assert judge(cut + more).problems


@CODED
@settings(deadline=None, max_examples=10)
@given(share=st.floats(0.02, 0.98))
def test_4_kib_of_zeros_anywhere_are_refused(tmp_path_factory: pytest.TempPathFactory, name: str, share: float) -> None:
    data = whole(name)
    start = int((len(data) - 4096) * share)
    path = tmp_path_factory.mktemp("holed") / "recording"
    path.write_bytes(data[:start] + bytes(4096) + data[start + 4096 :])
    suffix = container_suffix(path.read_bytes())
    assert (
        suffix is None
        or examine(str(path), demuxer=container_of(suffix).demuxer or "", depth="packets", expected=None).problems
    )


@CODED
def test_noise_in_the_place_of_packets_is_refused(judge: Examine, name: str) -> None:
    data = whole(name)
    start, size = len(data) // 2, 8192
    noise = random.Random(7).randbytes(size)
    assert judge(data[:start] + noise + data[start + size :]).problems


PIECES = pytest.mark.parametrize(
    "how", [lambda a, b: [], lambda a, b: [a, a, b], lambda a, b: [b, a]], ids=["lost", "doubled", "swapped"]
)


@PIECES
@pytest.mark.parametrize("audio", ["libopus", None])
@pytest.mark.parametrize("video", ["libvpx", None])
def test_a_webm_with_a_lost_doubled_or_swapped_piece_is_refused(
    judge: Examine, how: Callable[[bytes, bytes], list[bytes]], video: str | None, audio: str | None
) -> None:
    if not (video or audio):
        return
    pieces = clusters(recording(".webm", video, audio, LIVE))
    data = b"".join([*pieces[:3], *how(pieces[3], pieces[4]), *pieces[5:]])
    (problem, *_) = judge(data).problems
    assert "piece" in problem


@PIECES
@pytest.mark.parametrize("video", ["libx264", "libvpx-vp9"])
def test_a_fragmented_mp4_with_a_lost_doubled_or_swapped_fragment_is_refused(
    judge: Examine, how: Callable[[bytes, bytes], list[bytes]], video: str
) -> None:
    pieces = fragments(
        recording(
            ".mp4",
            video,
            "aac",
            CMAF,
        )
    )
    data = b"".join([*pieces[:2], *how(pieces[2], pieces[3]), *pieces[4:]])
    (problem, *_) = judge(data).problems
    assert "piece" in problem


def fragments(data: bytes) -> list[bytes]:
    """Header, then each moof with its mdat."""
    pieces, at = [b""], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"moof":
            pieces.append(b"")
        pieces[-1] += data[at : at + size]
        at += size
    return pieces


def test_a_live_file_whose_header_claims_more_than_was_written_is_refused(judge: Examine) -> None:
    data = recording(".webm", options=(("cluster_time_limit", "500"),), seconds=8)
    pieces = clusters(data)
    segment = pieces[0].index(bytes.fromhex("18538067")) + 4
    head = pieces[0][:segment] + b"\x01" + b"\xff" * 7 + pieces[0][segment + 8 :]  # of unknown size
    killed = head + b"".join(pieces[1:5])

    (problem,) = judge(killed).problems
    assert "header claims 8.0 s" in problem
    (problem,) = judge(killed, expected=8).problems
    assert "the API says 8.0 s" in problem
    assert judge(killed, expected=2).problems == []  # the API knows better than the header


@pytest.mark.parametrize("expected", [SECONDS - 1, SECONDS, SECONDS + 1])
def test_a_length_within_rounding_passes(judge: Examine, expected: float) -> None:
    assert judge(whole("live WebM"), expected=expected).problems == []


@pytest.mark.parametrize("expected", [SECONDS - 2, SECONDS + 2, 60])
def test_another_length_is_refused(judge: Examine, expected: float) -> None:
    (problem,) = judge(whole("live WebM"), expected=expected).problems
    assert "the API says" in problem


def test_an_index_that_points_where_no_media_lies_is_refused(judge: Examine) -> None:
    data = bytearray(whole("H.264 MP4"))
    at = data.index(b"stco") + 8
    struct.pack_into(">I", data, at + 4, 8)
    assert judge(bytes(data)).problems


@EACH
@settings(deadline=None, max_examples=10)
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=30))
def test_damage_of_any_kind_gives_a_verdict(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(whole(name))
    for place, value in changes:
        damaged[16 + place % (len(damaged) - 16)] = value
    path = tmp_path_factory.mktemp("damaged") / "recording"
    path.write_bytes(damaged)
    suffix = container_suffix(whole(name))
    assert suffix
    report = examine(str(path), demuxer=container_of(suffix).demuxer or "", depth="packets", expected=None)
    assert all(isinstance(problem, str) and problem for problem in report.problems)


@pytest.mark.parametrize("container", ["mp4", "webm"])
@pytest.mark.parametrize("seconds", [6, 60, 3600])
@pytest.mark.parametrize("size", [5_000, 1_000_000])
def test_what_the_simulator_serves_is_whole(judge: Examine, container: str, seconds: int, size: int) -> None:
    from airflow_provider_iinked.simulator.media.content import Content

    data = Content(seed="a", size=size, container=container, duration=seconds).read()
    assert judge(data, expected=seconds).problems == []


def test_an_encoder_that_raises_its_priority_leaves_the_process_as_it_was() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    recording.__wrapped__(".mkv", "libsvtav1", None, seconds=1)
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before
