#!/usr/bin/env bash
# One would expect: put_object sends the same request over http and https; TLS is below it.
# What happens: over http the default CRC32 goes into a header and the body is sent as it is, signed with its SHA-256.
#   Over https the same call sends `Content-Encoding: aws-chunked`, no Content-Length, an unsigned payload, and the
#   CRC32 in a trailer after the body.
# Versions: boto3 1.43.117, botocore 1.43.117. Needs openssl.
# Why it matters: an S3-compatible store that does not know this encoding refuses it, so each upload fails in
#   production while every test against an emulator over http passes.
#   `request_checksum_calculation="when_required"` sends the plain body over https too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'boto3==1.43.117' 'botocore==1.43.117'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem 2>/dev/null

AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_EC2_METADATA_DISABLED=true venv/bin/python - <<'PYTHON'
import http.server
import ssl
import sys
import threading

import boto3
from botocore.config import Config

NAMES = ("Content-Encoding", "Content-Length", "Transfer-Encoding", "x-amz-checksum-crc32", "x-amz-trailer")
requests = []


class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        if self.headers["Transfer-Encoding"] == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        requests.append(({name: self.headers[name] for name in NAMES if self.headers[name]}, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def serve(tls):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("certificate.pem", "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"


def put(url, **config):
    client = boto3.client(
        "s3", region_name="us-east-1", endpoint_url=url, verify="certificate.pem", config=Config(**config)
    )
    client.put_object(Bucket="recordings", Key="video.mp4", Body=b"hello")
    return requests.pop()


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: {expected} was seen before")


plain, secure = serve(tls=False), serve(tls=True)
check("http", put(plain), ({"Content-Length": "5", "x-amz-checksum-crc32": "NhCmhg=="}, b"hello"))
trailer = {"Content-Encoding": "aws-chunked", "Transfer-Encoding": "chunked", "x-amz-trailer": "x-amz-checksum-crc32"}
body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
check("https", put(secure), (trailer, body))
check(
    "https, when_required",
    put(secure, request_checksum_calculation="when_required"),
    ({"Content-Length": "5"}, b"hello"),
)
PYTHON
