#!/usr/bin/env bash
# One would expect: reading all packets of a video whose last quarter is zeros (a download that was cut off in a file
#   that had its full size from the start) gives an error, a warning or fewer packets.
# What happens: in an MP4 with the index first, FFmpeg hands out every packet up to the last second, the zeros included,
#   with no error and no log line at warning level, since the index tells it where the packets lie. `-c copy` exits 0
#   and prints nothing. Decoding fails at a quarter of the frames, and ffmpeg's exit code is still 0.
# Versions: av 18.1.0, imageio-ffmpeg 0.8.1 (ffmpeg 9.0.2).
# Why it matters: "demuxed to the end" says nothing about the bytes inside. Size and index are right; a checksum, a look
#   for runs of zeros in the packets, or decoding finds it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'av==18.1.0' 'imageio-ffmpeg==0.8.1'

venv/bin/python - <<'PYTHON'
import subprocess
import sys

import av
import imageio_ffmpeg

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-y"]


def ffmpeg(*arguments):
    done = subprocess.run([*FFMPEG, *arguments], capture_output=True, text=True)
    return done.returncode, len(done.stderr.splitlines())


def demux(name):
    av.logging.set_level(av.logging.WARNING)
    with av.logging.Capture() as log, av.open(name) as file:
        times = [float(packet.pts * packet.time_base) for packet in file.demux() if packet.pts is not None]
    return len(times), round(max(times)), len(log)


def decode_errors(name):
    av.logging.set_level(None)
    errors = 0
    with av.open(name) as file:
        for packet in file.demux(video=0):
            try:
                packet.decode()
            except av.FFmpegError:
                errors += 1
    return errors


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: {expected} was seen before")


source = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=8"]
codec = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k", "-g", "25"]
subprocess.run([*FFMPEG, *source, *codec, "-movflags", "+faststart", "whole.mp4"], check=True, capture_output=True)
data = open("whole.mp4", "rb").read()
kept = len(data) * 3 // 4
with open("zeros.mp4", "wb") as file:
    file.write(data[:kept] + bytes(len(data) - kept))

check("whole (packets, last second, log lines)", demux("whole.mp4"), (200, 8, 0))
check("zeros (packets, last second, log lines)", demux("zeros.mp4"), (200, 8, 0))
check("ffmpeg -c copy of zeros (exit code, lines)", ffmpeg("-i", "zeros.mp4", "-c", "copy", "-f", "null", "-"), (0, 0))
errors = decode_errors("zeros.mp4")
print(f"packets of zeros that do not decode: {errors} of 200 (whole: {decode_errors('whole.mp4')})")
code, lines = ffmpeg("-i", "zeros.mp4", "-f", "null", "-")
print(f"ffmpeg decoding zeros: exit code {code}, {lines} lines")
if errors < 20 or code != 0 or lines == 0:
    sys.exit("changed: decoding met errors with exit code 0 before")
PYTHON
