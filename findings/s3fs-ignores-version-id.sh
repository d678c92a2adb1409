#!/usr/bin/env bash
# One would expect: reading "bucket/key?versionId=..." gives that version, or an error when the file system was not made
#   for versions; removing that path removes that version.
# What happens: unless version_aware=True, s3fs parses `?versionId=` off the path and forgets it. cat_file and info
#   answer for the newest version without a word, and rm_file hides the newest behind a delete marker and leaves the
#   named version. open(path, version_id=...) raises ValueError, so the check exists, for the keyword only.
# Versions: s3fs 2026.9.0, fsspec 2026.9.0, aiobotocore 3.10.0, boto3 1.43.117, moto 5.2.5.
# Why it matters: a custody record names the version that was verified; looking it up by that path verifies another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    's3fs==2026.9.0' 'fsspec==2026.9.0' 'aiobotocore==3.10.0' 'boto3==1.43.117' \
    'moto[s3]==5.2.5' 'flask==3.1.3' 'flask-cors==6.0.5'

AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=us-east-1 venv/bin/python - <<'PYTHON'
import logging
import sys

import boto3
import s3fs
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: {expected} was seen before")


server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"
s3 = boto3.client("s3", endpoint_url=url)
s3.create_bucket(Bucket="recordings")
s3.put_bucket_versioning(Bucket="recordings", VersioningConfiguration={"Status": "Enabled"})
first = s3.put_object(Bucket="recordings", Key="video.json", Body=b"first")["VersionId"]
s3.put_object(Bucket="recordings", Key="video.json", Body=b"the second")
path = f"recordings/video.json?versionId={first}"

plain = s3fs.S3FileSystem(endpoint_url=url)
check("cat_file of the first version", plain.cat_file(path), b"the second")
check("its size by info", plain.info(path)["size"], len(b"the second"))
try:
    plain.open("recordings/video.json", version_id=first)
    refused = "accepted"
except ValueError:
    refused = "ValueError"
check("open(version_id=first)", refused, "ValueError")
aware = s3fs.S3FileSystem(endpoint_url=url, version_aware=True)
check("cat_file with version_aware=True", aware.cat_file(path), b"first")

plain.rm_file(path)
listing = s3.list_object_versions(Bucket="recordings")
check("the first version after rm_file of it", first in [v["VersionId"] for v in listing["Versions"]], True)
check("delete markers after rm_file of it", len(listing.get("DeleteMarkers", [])), 1)
server.stop()
PYTHON
