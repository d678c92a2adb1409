#!/usr/bin/env bash
# One would expect: a UPath survives copy.copy and pickle, as pathlib's paths do; UPath(str(path)) is the same path; and
#   the parent of a path is where its file lies.
# What happens: `::` separates chained file systems in a URL, but joinpath takes it as part of a name and writes there.
#   Each thing made from that path (a copy, a pickle, parent, with_suffix, UPath(str(path))) reads it as a chain and
#   keeps what stands before `::`. str() stays equal; ==, hash() and exists() do not.
# Versions: universal-pathlib 0.3.10, fsspec 2026.9.0. Seen with memory://; the same code serves s3://.
# Why it matters: paths travel between processes in a scheduler. An id with `::` in a file name gives a path that points
#   to another object than the one that was written, and prints the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'universal-pathlib==0.3.10' 'fsspec==2026.9.0'

venv/bin/python - <<'PYTHON'
import copy
import pickle
import sys

from upath import UPath


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: {expected} was seen before")


path = UPath("memory://archive").joinpath("signed/10::05/video.mp4")
path.fs.pipe_file(path.path, b"video")
check("path", (path.path, path.exists()), ("/archive/signed/10::05/video.mp4", True))
loaded = pickle.loads(pickle.dumps(path))
check("unpickled", (loaded.path, loaded.exists()), ("/archive/signed/10", False))
same = (str(loaded) == str(path), hash(loaded) == hash(path), loaded == path)
check("same str, hash, ==", same, (True, False, False))
check("copied", copy.copy(path).path, "/archive/signed/10")
check("parent", path.parent.path, "/archive/signed/10")
check("with_suffix", path.with_suffix(".json").path, "/archive/signed/10")
check("UPath(str(path))", UPath(str(path)).path, "/archive/signed/10")
PYTHON
