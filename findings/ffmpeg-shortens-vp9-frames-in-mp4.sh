#!/usr/bin/env bash
# One would expect: an MP4 says of each frame how long it lasts, and packet.duration is that. A picture that stands still
#   for 10 s (a shared screen) is one frame of 10.1 s among frames of 0.1 s.
# What happens: with H.264, AV1 or MPEG-4 it is. With VP9 FFmpeg's parser replaces what the file says by the usual
#   distance: the still picture lasts 0.1 s, and 10 s in which nothing plays follow it. With the option fflags=noparse
#   the file's own durations come through. Time stamps are right either way.
# Versions: av 18.1.0 (FFmpeg 9.0.2's libraries).
# Why it matters: a check for gaps takes the whole recording for one with 10 s missing; a remuxer writes it so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'av==18.1.0'

venv/bin/python - <<'PYTHON'
import fractions
import sys

import av

av.logging.set_level(None)
MS = fractions.Fraction(1, 1000)
EXPECTED = {"libx264": (10.1, 10.1), "mpeg4": (10.1, 10.1), "libvpx-vp9": (0.1, 10.1)}


def record(path, codec):
    """Twenty frames, 0.1 s apart; the last one stays for ten seconds more; twenty frames again."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = MS
        stream.codec_context.max_b_frames = 0
        for number in range(40):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([5 * number]) * plane.buffer_size)
            frame.pts, frame.time_base = 100 * number + 10_000 * (number >= 20), MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def longest(path, **options):
    with av.open(path, container_options=options) as container:
        return max(float(packet.duration * packet.time_base) for packet in container.demux(video=0) if packet.size)


for codec, expected in EXPECTED.items():
    path = f"{codec}.mp4"
    record(path, codec)
    seen = (round(longest(path), 2), round(longest(path, fflags="noparse"), 2))
    print(f"{codec} in MP4: the longest frame lasts {seen[0]} s, with fflags=noparse {seen[1]} s")
    if seen != expected:
        sys.exit(f"changed: {expected} were seen before")
PYTHON
