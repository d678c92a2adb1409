#!/usr/bin/env bash
# One would expect: a WebM written to a pipe has no duration (the muxer cannot go back to the header), or the one of
#   what was written.
# What happens: ffmpeg writes into the header how long the output was going to be: the source's length, or the limit of
#   `-t`, before the first frame. A recording cut off at a quarter has the full length in its header, and a whole one of
#   4 s made with `-t 3600` has an hour. ffmpeg reads both with exit code 0.
# Versions: imageio-ffmpeg 0.8.1 (ffmpeg 9.0.2), av 18.1.0.
# Why it matters: "the header's duration is what was expected" shows nothing about the file; only its last packets do.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'imageio-ffmpeg==0.8.1' 'av==18.1.0'

venv/bin/python - <<'PYTHON'
import io
import subprocess
import sys

import av
import imageio_ffmpeg

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]


def ffmpeg(*arguments):
    return subprocess.run([*FFMPEG, *arguments], check=True, capture_output=True).stdout


def lengths(data):
    with av.open(io.BytesIO(data)) as file:
        header = file.duration / av.time_base
        return round(header, 1), round(max(float(p.pts * p.time_base) for p in file.demux() if p.pts is not None), 1)


def check(what, data, expected):
    header, last = lengths(data)
    read = subprocess.run([*FFMPEG, "-i", "-", "-f", "null", "-"], input=data, capture_output=True)
    print(f"{what}: header {header} s, last packet at {last} s, ffmpeg exits {read.returncode}")
    seen = (header, last < 4.1, last < 2, read.returncode)
    if seen != expected:
        sys.exit(f"changed: {expected} was seen before, now {seen}")


source = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4", "-c:v", "libvpx", "-g", "25", "-b:v", "300k"]
ffmpeg(*source, "source.webm")
piped = ffmpeg("-i", "source.webm", "-c", "copy", "-f", "webm", "pipe:1")
check("piped", piped, (4.0, True, False, 0))
check("piped, first quarter", piped[: len(piped) // 4], (4.0, True, True, 0))
limited = ffmpeg("-i", "source.webm", "-c", "copy", "-t", "3600", "-f", "webm", "pipe:1")
check("piped with -t 3600", limited, (3600.0, True, False, 0))
PYTHON
