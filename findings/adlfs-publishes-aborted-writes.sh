#!/usr/bin/env bash
# One would expect: a file opened with autocommit=False, or inside an fsspec transaction, becomes visible at
#   commit() and never after discard() or a rolled back transaction.
# What happens: adlfs accepts autocommit=False, stores the flag, and publishes the blob at close() all the same.
#   commit() and discard() exist and do nothing. A transaction that is rolled back leaves its blob, and an exception
#   that leaves `with fs.open(...)` publishes the part that was written.
# Versions: adlfs 2026.8.0, fsspec 2026.9.0, azure-storage-blob 12.31.1, azurite 3.37.0. Needs Node.js and npm.
# Why it matters: a recording that was cut off lies under its final name, and the next run takes it for a copy.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    'adlfs==2026.8.0' 'fsspec==2026.9.0' 'azure-storage-blob==12.31.1'
npm install --silent --no-audit --no-fund azurite@3.37.0

venv/bin/python - <<'PYTHON'
import base64
import os
import subprocess
import sys

import adlfs

ACCOUNT = "recordings"
KEY = base64.b64encode(os.urandom(64)).decode()
MIB = 2**20


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: {expected} was seen before")


options = ["--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"]
server = subprocess.Popen(
    ["node_modules/.bin/azurite-blob", *options, "--blobHost", "127.0.0.1", "--blobPort", "0"],
    env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
    stdout=subprocess.PIPE,
    text=True,
)
try:
    url = next(line.split()[-1] for line in server.stdout if "successfully listens on" in line)
    fs = adlfs.AzureBlobFileSystem(
        connection_string=f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint={url}/{ACCOUNT};"
    )
    fs.mkdir("videos")

    def stored(name):
        fs.invalidate_cache()
        return fs.info(f"videos/{name}")["size"] if fs.exists(f"videos/{name}") else None

    pending = fs.open("videos/pending.mp4", "wb", autocommit=False)
    pending.write(bytes(12 * MIB))
    pending.close()
    check("file.autocommit", pending.autocommit, False)
    check("bytes visible after close(), before commit()", stored("pending.mp4"), 12 * MIB)
    pending.discard()
    check("bytes visible after discard()", stored("pending.mp4"), 12 * MIB)

    try:
        with fs.transaction, fs.open("videos/transaction.mp4", "wb") as file:
            file.write(bytes(100))
            raise ConnectionError("the source broke off")
    except ConnectionError:
        pass
    check("bytes visible after a rolled back transaction", stored("transaction.mp4"), 100)

    try:
        with fs.open("videos/partial.mp4", "wb") as file:
            file.write(bytes(12 * MIB))
            raise ConnectionError("the source broke off")
    except ConnectionError:
        pass
    check("bytes visible after an exception in `with open`", stored("partial.mp4"), 12 * MIB)
finally:
    server.terminate()
    server.wait()
PYTHON
