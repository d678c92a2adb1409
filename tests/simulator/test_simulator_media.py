from __future__ import annotations

import json
import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_iinked.simulator.media.content import BLOCK_SIZE, PAD_FILE_BLOCKS, Content, pad_file

SIZE = 9_000_001
WHOLE = Content(seed="x", size=SIZE).read()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, SIZE), st.integers(0, SIZE))
def test_any_range_is_a_slice_of_the_whole(offset, count):
    assert Content(seed="x", size=SIZE).read(offset, count) == WHOLE[offset : offset + count]


@pytest.mark.parametrize("offset", [0, 5000, BLOCK_SIZE - 1, 8_000_000])
def test_pieces_of_the_pad_file_are_the_same_bytes(offset):
    content = Content(seed="x", size=SIZE)
    file, read = pad_file(), content.head(offset, SIZE - offset)
    for position, length in content.pad_pieces(offset, SIZE - offset):
        file.seek(position)
        read += file.read(length)
    assert read == WHOLE[offset:]


def test_pieces_stay_inside_the_pad_file_for_huge_recordings():
    content = Content(seed="x", size=5 << 30)
    pieces = list(content.pad_pieces(0, content.size))
    assert all(position + length <= PAD_FILE_BLOCKS * BLOCK_SIZE for position, length in pieces)
    assert sum(length for _, length in pieces) + len(content.head(0, content.size)) == content.size


def test_recordings_differ_in_more_than_their_offset():
    other = Content(seed="y", size=SIZE).read()
    assert other[:3000] == WHOLE[:3000]
    assert sum(a == b for a, b in zip(other[10_000:20_000], WHOLE[10_000:20_000], strict=True)) < 200


@pytest.mark.parametrize("size", [4_000, 484_524, 5 << 30])
def test_mp4_boxes_add_up_to_the_size(size):
    content = Content(seed="x", size=size)
    at, names = 0, []
    while at < size:
        length, name = struct.unpack(">I4s", content.read(at, 8))
        if length == 1:
            (length,) = struct.unpack(">Q", content.read(at + 8, 8))
        names.append(name.decode())
        at += length
    assert (at, names) == (size, ["ftyp", "moov", "free", "mdat", "free"])


@pytest.mark.parametrize("gap", [2, 8, 9, 100_000])
def test_webm_segment_grows_with_its_void(gap):
    sample = Content(seed="x", size=1, container="webm")
    plain = len(Content(seed="x", size=10_000_000, container="webm").head(0, 10_000_000)) - 9
    content = Content(seed="x", size=plain + gap, container="webm").read()
    at = content.index(bytes.fromhex("18538067"))
    (segment,) = struct.unpack(">Q", content[at + 4 : at + 12])
    assert at + 12 + (segment & ~(0xFF << 56)) == len(content)
    assert content[plain] == 0xEC
    assert sample.size == 1


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
@pytest.mark.parametrize("container", ["mp4", "webm"])
@pytest.mark.parametrize(("duration", "size"), [(6, 484_524), (0.5, 9_999), (127, 2_505_995), (5400, 700_001)])
def test_plays_as_long_as_it_says(tmp_path, container, duration, size):
    path = tmp_path / f"sample.{container}"
    path.write_bytes(Content(seed="x", size=size, container=container, duration=duration).read())
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-count_frames", "-show_streams", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    facts = json.loads(done.stdout)
    assert done.stderr == ""
    assert float(facts["format"]["duration"]) == pytest.approx(duration, rel=0.001)
    assert facts["streams"][0]["nb_read_frames"] == "12"


def test_unknown_container_is_refused():
    with pytest.raises(ValueError, match="mp4, webm"):
        Content(seed="x", size=1, container="avi")
