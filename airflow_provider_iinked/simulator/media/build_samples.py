"""Make sample.mp4 and sample.webm again; needs ffmpeg with libx264 and libvpx. Run by hand, never at run time."""

from __future__ import annotations

import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=2:duration=6"]
EXACT = ["-g", "12", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"]
# A fine timescale, so that changing the timescale alone stretches the sample to any length precisely.
MP4 = ["-c:v", "libx264", "-preset", "veryslow", "-crf", "40", "-pix_fmt", "yuv420p", "-bf", "0"]
MP4_TIME = ["-movie_timescale", "600000", "-video_track_timescale", "600000", "-movflags", "+faststart"]
WEBM = ["-c:v", "libvpx", "-b:v", "20k", "-crf", "50"]


def widen_timestamp_scale(data: bytes) -> bytes:
    """Give TimestampScale eight bytes instead of three, taking the room from the application names beside it.

    :param data: a WebM file as ffmpeg writes it with ``+bitexact``.
    """
    narrow = bytes.fromhex("2ad7b1830f4240 4d8084") + b"Lavf" + bytes.fromhex("574184") + b"Lavf"
    wide = bytes.fromhex("2ad7b18800000000000f4240 4d8082") + b"La" + bytes.fromhex("574181") + b"L"
    if data.count(narrow) != 1 or len(narrow) != len(wide):
        raise ValueError("this ffmpeg writes the Info element in another way")
    return data.replace(narrow, wide)


def main() -> None:
    """Write both samples beside this module."""
    run = ["ffmpeg", "-v", "error", "-y", *SOURCE]
    mp4, webm = FOLDER / "sample.mp4", FOLDER / "sample.webm"
    subprocess.run([*run, *MP4, *EXACT, *MP4_TIME, str(mp4)], check=True)  # noqa: S603
    subprocess.run([*run, *WEBM, *EXACT, str(webm)], check=True)  # noqa: S603
    webm.write_bytes(widen_timestamp_scale(webm.read_bytes()))


if __name__ == "__main__":
    main()
