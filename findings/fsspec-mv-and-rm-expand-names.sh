#!/usr/bin/env bash
# One would expect: mv(source, target) and rm(path) with the exact name of a file that exists act on that file. A shell
#   expands patterns; a library call gets names.
# What happens: fsspec's generic mv, copy and rm read `*`, `?` and `[...]` as a pattern although a file of that very
#   name exists. mv("rec[12]/video.mp4") moves the files of rec1 and rec2 and leaves the named one; rm removes those
#   two. File systems that inherit these calls do the same.
# Versions: fsspec 2026.9.0. Seen on MemoryFileSystem.
# Why it matters: setting aside or removing one bad copy takes other recordings' copies away. Calls that take one
#   literal name exist: cp_file, rm_file, pipe_file, cat_file.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'fsspec==2026.9.0'

venv/bin/python - <<'PYTHON'
import sys

import fsspec

fs = fsspec.filesystem("memory")
NAMES = ("rec1", "rec2", "rec[12]")


def fill():
    if fs.exists("/archive"):
        fs.rm("/archive", recursive=True)
    for name in NAMES:
        fs.pipe_file(f"/archive/{name}/video.mp4", name.encode())


def check(what, expected):
    seen = {path.removeprefix("/archive/"): fs.cat_file(path).decode() for path in fs.find("/archive")}
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: {expected} was seen before")


fill()
fs.mv("/archive/rec[12]/video.mp4", "/archive/aside/video.mp4")
check(
    "mv of rec[12]",
    {
        "aside/video.mp4/rec1/video.mp4": "rec1",
        "aside/video.mp4/rec2/video.mp4": "rec2",
        "rec[12]/video.mp4": "rec[12]",
    },
)
fill()
fs.rm("/archive/rec[12]/video.mp4")
check("rm of rec[12]", {"rec[12]/video.mp4": "rec[12]"})
fill()
fs.rm_file("/archive/rec[12]/video.mp4")
check("rm_file of rec[12]", {"rec1/video.mp4": "rec1", "rec2/video.mp4": "rec2"})
PYTHON
