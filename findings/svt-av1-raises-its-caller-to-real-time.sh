#!/usr/bin/env bash
# One would expect: encoding a video in a thread leaves the thread's priority as it was.
# What happens: the first AV1 frame that SVT-AV1 takes sets the calling thread to SCHED_FIFO, priority 99, where the
#   process may do so (root, as in most containers), and nothing sets it back when the encoder is closed. Threads that
#   are started afterwards inherit it. x264, x265 and libvpx leave it alone.
# Versions: PyAV 18.1.0, whose wheel brings FFmpeg with libsvtav1.
# Why it matters: a worker or a test that once made an AV1 file is from then on ahead of everything else on the machine;
#   an encoder that waits for its own threads in a loop (libvpx) then keeps a core from all others.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "Run this as root: others may not raise a priority." >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'av==18.1.0'

venv/bin/python - <<'PYTHON'
import os
import sys
import threading

import av
from av.video.frame import VideoFrame

NAMES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO"}


def priority():
    return NAMES[os.sched_getscheduler(0)], os.sched_getparam(0).sched_priority


def encode(codec):
    """Encode ten grey pictures in a thread of its own; give its priority before, afterwards, and of a later thread."""
    seen = []

    def work():
        seen.append(priority())
        with av.open(os.devnull, "w", format="matroska") as file:
            stream = file.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
            for number in range(10):
                frame = VideoFrame(160, 96, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([number * 20]) * plane.buffer_size)
                frame.pts = number
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        seen.append(priority())
        later = threading.Thread(target=lambda: seen.append(priority()))
        later.start()
        later.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return seen


plain = ("SCHED_OTHER", 0)
found = {codec: encode(codec) for codec in ("libx264", "libvpx", "libsvtav1")}
for codec, (before, after, later) in found.items():
    print(f"{codec}: before {before}, after the file is closed {after}, a thread started then {later}")
expected = {
    "libx264": [plain] * 3,
    "libvpx": [plain] * 3,
    "libsvtav1": [plain, ("SCHED_FIFO", 99), ("SCHED_FIFO", 99)],
}
sys.exit(found != expected)
PYTHON
