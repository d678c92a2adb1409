"""
Whole recordings of kinds that recorders make seldom: they are judged, and neither broken nor played.

Still pictures, turned and resized ones, tracks of different lengths, codecs in containers that few expect, further
tracks and boxes, files of five gigabytes, files that were stored in whole blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.media_corpus.encoders import run_ffmpeg

_PICTURE = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=6"
_TONE = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=6"
_LONG_TONE = _TONE.replace("duration=6", "duration=24")
_X264 = "-c:v libx264 -preset veryfast"
_VP8 = "-c:v libvpx -deadline realtime -cpu-used 8"
_VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"
_FRAGMENTS = "-movflags frag_keyframe+empty_moov"
# A shared screen: something moves, ten seconds stand still, something moves again.
_STILL = "-f lavfi -i testsrc2=size=320x180:rate=10:duration=24 -vf select='lt(t,6)+gt(t,16)' -vsync vfr"
_JITTER = (
    "-f lavfi -i testsrc2=size=320x180:rate=30:duration=20 -vf select='not(mod(floor(random(0)*20),7))' -vsync vfr"
)
_GIB = 1 << 30

_FIRST = [
    f"{_PICTURE} {_TONE} {_X264} -bf 0 -c:a aac base.mp4",
    f"{_PICTURE} {_TONE} {_X264} -bf 4 -g 100 -c:a aac b-frames.mp4",
    f"{_PICTURE} {_TONE} {_VP8} -c:a libopus base.webm",
    f"{_STILL} {_X264} still.mp4",
    f"{_STILL} {_X264} -bf 0 still-without-b-frames.mp4",
    f"{_STILL} {_VP8} still.webm",
    f"{_STILL} {_VP9} still-vp9.mp4",
    f"{_LONG_TONE} -c:a libopus tone.opus",
    f"{_JITTER} {_X264} jitter.mp4",
    f"{_JITTER} {_VP8} jitter.webm",
    "-f lavfi -i testsrc2=size=320x180:rate=1/10:duration=40 -c:v libx264 a-picture-in-ten-seconds.mp4",
    f"{_PICTURE} {_VP9} c1.webm",
    f"{_PICTURE.replace('320x180', '480x360')} {_VP9} c2.webm",
    f"{_PICTURE} {_TONE} -c:v libvpx-vp9 -deadline good -cpu-used 5 -lag-in-frames 25 -auto-alt-ref 1 -g 120 "
    "-c:a libopus hidden-frames.webm",
    f"{_PICTURE} -c:v libvpx -deadline good -cpu-used 5 -lag-in-frames 16 -auto-alt-ref 1 hidden-frames-vp8.webm",
    f"{_PICTURE} -vf format=yuva420p {_VP9} -auto-alt-ref 0 transparent.webm",
    f"{_PICTURE} {_VP9} -pix_fmt yuv420p10le vp9-10-bit.webm",
    f"{_PICTURE} {_X264} -pix_fmt yuv420p10le h264-10-bit.mp4",
    f"{_PICTURE} {_X264} -qp 0 -pix_fmt yuv444p lossless.mp4",
    f"{_PICTURE} {_X264} -intra-refresh 1 -g 25 one-key-frame.mp4",
    f"{_PICTURE} {_X264} -flags +ildct+ilme interlaced.mp4",
    f"{_PICTURE} {_TONE} {_X264} -bf 3 -x264-params open_gop=1 -c:a aac open-groups.mp4",
    f"{_PICTURE} -c:v mjpeg mjpeg.mov",
    f"{_PICTURE} -c:v rawvideo -pix_fmt yuv420p raw.mkv",
    f"{_PICTURE} -c:v ffv1 ffv1.mkv",
    f"{_TONE} -c:a libopus -frame_duration 2.5 short-packets.webm",
    f"{_TONE} -c:a libopus -frame_duration 60 -application voip -b:a 8k long-packets.webm",
    f"{_TONE} -ac 6 -c:a libopus -b:a 256k six-channels.webm",
    f"{_TONE} -c:a alac alac.m4a",
    f"{_TONE} -c:a pcm_mulaw telephone.wav",
    f"{_TONE} -c:a aac {_FRAGMENTS} audio-in-fragments.m4a",
    f"{_PICTURE.replace('duration=6', 'duration=0.04')} {_X264} one-frame.mp4",
    f"{_PICTURE.replace('rate=25:duration=6', 'rate=240:duration=2')} {_X264} fast.mp4",
    "-f lavfi -i testsrc2=size=64x64:rate=1:duration=1 -frames:v 1 cover.png",
]
_THEN = [
    "-i still.mp4 -c copy still.mkv",
    f"-i still.mp4 -c copy {_FRAGMENTS} still-in-fragments.mp4",
    "-i still.webm -i tone.opus -map 0 -map 1 -c copy still-with-sound.webm",
    "-i base.mp4 -c copy -metadata:s:v:0 rotate=90 turned.mp4",
    "-i base.mp4 -c copy -movflags +faststart -moov_size 200000 room-behind-the-index.mp4",
    "-i b-frames.mp4 -c copy -movflags +negative_cts_offsets negative-offsets.mp4",
    f"-i b-frames.mp4 -c copy {_FRAGMENTS}+negative_cts_offsets negative-offsets-in-fragments.mp4",
    "-i b-frames.mp4 -c copy -avoid_negative_ts disabled negative-times.mp4",
    "-i b-frames.mp4 -c copy -avoid_negative_ts disabled negative-times.mkv",
    "-i b-frames.mp4 -c copy -use_editlist 0 no-edit-list.mp4",
    "-i hidden-frames.webm -c copy hidden-frames.mp4",
    f"-i hidden-frames.webm -c copy {_FRAGMENTS} hidden-frames-in-fragments.mp4",
    f"-i base.mp4 {_TONE} -map 0:v -map 1:a -c:v copy -c:a flac -strict -2 flac.mp4",
    f"-i base.mp4 {_TONE} -map 0:v -map 1:a -c:v copy -c:a libopus -strict -2 opus.mp4",
    f"-i base.mp4 {_TONE} -map 0:v -map 1:a -c:v copy -c:a ac3 ac3.mp4",
    f"-i base.mp4 {_TONE} -map 0:v -map 1:a -c:v copy -c:a pcm_s16le pcm.mkv",
    f"-i base.webm {_TONE} -map 0:v -map 1:a -c:v copy -c:a libvorbis vorbis.webm",
    # A participant who is muted, or whose camera is off, from some time on.
    "-i base.mp4 -f lavfi -i sine=duration=2 -map 0:v -map 1:a -c:v copy -c:a aac sound-ends-early.mp4",
    "-i base.webm -f lavfi -i sine=duration=2 -map 0:v -map 1:a -c:v copy -c:a libopus sound-ends-early.webm",
    f"-i base.mp4 {_LONG_TONE} -map 0:v -map 1:a -c:v copy -c:a aac picture-ends-early.mp4",
    f"-i base.webm {_LONG_TONE} -map 0:v -map 1:a -c:v copy -c:a libopus picture-ends-early.webm",
    "-i base.webm -c:v copy -af aselect='lt(t,2)+gt(t,4)' -c:a libopus muted-in-between.webm",
    "-f concat -i resized.txt -c copy resized.webm",
    "-i base.mp4 -i words.srt -map 0 -map 1 -c copy -c:s mov_text with-words.mp4",
    "-i base.mp4 -i words.srt -map 0 -map 1 -c copy with-words.mkv",
    "-i base.mp4 -c copy -timecode 01:00:00:00 with-time-code.mov",
    "-i base.mp4 -i cover.png -map 0 -map 1 -c copy -c:v:1 png -disposition:v:1 attached_pic with-cover.mp4",
    "-i base.mp4 -attach cover.png -metadata:s:t mimetype=image/png -c copy with-attachment.mkv",
    f"-i base.mp4 -c copy {_FRAGMENTS} -write_prft wallclock with-clock.mp4",
    "-i base.mp4 -c copy -movflags +rtphint with-hints.mp4",
    "-i base.mp4 -c copy -f ismv smooth.mp4",
]
_LAST = [
    "-i resized.webm -c copy resized.mp4",
    f"-i sound-ends-early.mp4 -c copy {_FRAGMENTS} sound-ends-early-in-fragments.mp4",
    f"-i picture-ends-early.mp4 -c copy {_FRAGMENTS} picture-ends-early-in-fragments.mp4",
    "-i base.mp4 -c copy -movflags +faststart index-first.mp4",
]


def make(folder: Path) -> None:
    """
    Make every file.

    :param folder: gets them; has to be empty.
    """
    (folder / "words.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    (folder / "resized.txt").write_text("file c1.webm\nfile c2.webm\n")
    with ThreadPoolExecutor(2) as pool:
        for lines in (_FIRST, _THEN, _LAST):
            list(pool.map(lambda line: run_ffmpeg(line, folder), lines))
    for name in ("words.srt", "resized.txt", "cover.png"):
        (folder / name).unlink()
    _rewrite(folder)


def _rewrite(folder: Path) -> None:
    """Layouts that ffmpeg does not write: free boxes, 64-bit sizes, sizes of 0, gigabytes, zeros behind the end."""
    whole = (folder / "base.mp4").read_bytes()
    where = {kind: (at, size) for at, size, kind in _boxes(whole)}
    free, (media, size), index = where[b"free"][0], where[b"mdat"], where[b"moov"][0]
    first = (folder / "index-first.mp4").read_bytes()
    last = {kind: at for at, _, kind in _boxes(first)}[b"mdat"]
    files = {
        "boxes-in-between.mp4": whole[:index]
        + _box(b"free", 5000)
        + _box(b"skip", 8)
        + whole[index:]
        + _box(b"uuid", 99),
        "media-to-the-end.mp4": first[:last] + struct.pack(">I", 0) + first[last + 4 :],
        # ffmpeg leaves eight bytes in front of the media for a longer size.
        "long-size.mp4": whole[:free] + struct.pack(">I4sQ", 1, b"mdat", size + 8) + whole[media + 8 :],
        "index-to-the-end.mp4": whole[:index] + struct.pack(">I", 0) + whole[index + 4 :],
        "in-whole-blocks.mp4": whole + bytes(-len(whole) % 4096),
        "in-whole-blocks-index-first.mp4": first + bytes(-len(first) % 4096),
        "in-whole-blocks.webm": (data := (folder / "base.webm").read_bytes()) + bytes(-len(data) % 4096),
        "last-frame-without-duration.mp4": _without_last_duration(whole),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with (folder / "five-gigabytes-of-room.mp4").open("wb") as file:
        file.write(whole[:index] + struct.pack(">I4sQ", 1, b"free", 5 * _GIB))
        file.seek(index + 5 * _GIB)
        file.write(whole[index:])
    with (folder / "five-gigabytes-of-media.mp4").open("wb") as file:
        file.write(whole[:free] + struct.pack(">I4sQ", 1, b"mdat", size + 8 + 5 * _GIB) + whole[media + 8 : index])
        file.seek(index + 5 * _GIB)
        file.write(whole[index:])


def _boxes(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield at, size, kind
        at += size


def _box(kind: bytes, size: int) -> bytes:
    return struct.pack(">I4s", size, kind) + bytes(size - 8)


def _without_last_duration(data: bytes) -> bytes:
    """Every table of durations that gives its last sample one of its own gives it 0."""
    changed, at = bytearray(data), -1
    while (at := changed.find(b"stts", at + 1)) > 0:
        (entries,) = struct.unpack_from(">I", changed, at + 8)
        end = at + 12 + 8 * entries
        if struct.unpack_from(">I", changed, end - 8) == (1,):
            struct.pack_into(">I", changed, end - 4, 0)
    return bytes(changed)
