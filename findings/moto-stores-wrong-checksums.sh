#!/usr/bin/env bash
# One would expect: a PUT with a Content-MD5, x-amz-checksum-sha256 or x-amz-checksum-crc32 that the body does not have is
#   refused, as S3 does ("BadDigest", 400); a test of "a damaged upload is noticed" would be a test then.
# What happens: moto takes all three with 200, in one PUT and for a part of a multipart upload, and stores the body.
# Versions: moto 5.2.5, boto3 1.43.117.
# Why it matters: a client that sends the checksum of other bytes (a buffer that was overwritten while it was sent, say)
#   passes every test against moto, and fails against S3; or the test is believed, and nobody looks at what was stored.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'moto[s3,server]==5.2.5' 'boto3==1.43.117'

venv/bin/python - <<'PYTHON' 2>log || { tail -n 20 log && exit 1; }
import base64
import hashlib
import sys

import boto3
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
login = {"aws_access_key_id": "example", "aws_secret_access_key": "example", "region_name": "us-east-1"}
s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **login)
s3.create_bucket(Bucket="recordings")


def of_other_bytes(name):
    return base64.b64encode(hashlib.new(name, b"other bytes").digest()).decode()


def outcome(call, **parameters):
    try:
        return call(Bucket="recordings", **parameters)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["Error"]["Code"]


WRONG = {
    "ContentMD5": of_other_bytes("md5"),
    "ChecksumSHA256": of_other_bytes("sha256"),
    "ChecksumCRC32": base64.b64encode(b"\0\0\0\0").decode(),
}
upload = s3.create_multipart_upload(Bucket="recordings", Key="parts")["UploadId"]
for name, value in WRONG.items():
    put = outcome(s3.put_object, Key="whole", Body=b"recording", **{name: value})
    part = outcome(s3.upload_part, Key="parts", Body=b"recording", UploadId=upload, PartNumber=1, **{name: value})
    stored = s3.get_object(Bucket="recordings", Key="whole")["Body"].read()
    print(f"a wrong {name}: put_object {put}, upload_part {part}, stored {stored!r}", flush=True)
    if (put, part, stored) != (200, 200, b"recording"):
        print("changed: 200, 200 and the body were seen before", flush=True)
        sys.exit(1)
server.stop()
PYTHON
