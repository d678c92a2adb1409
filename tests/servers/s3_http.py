"""How S3 looks on the wire: bodies in chunks, XML, and which operation a request is. No state here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.servers.s3_traits import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

_OBJECT = {
    ("PUT", "partNumber"): "UploadPart",
    ("PUT", "retention"): "PutObjectRetention",
    ("PUT", ""): "PutObject",
    ("GET", "uploadId"): "ListParts",
    ("GET", "retention"): "GetObjectRetention",
    ("GET", "attributes"): "GetObjectAttributes",
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("DELETE", ""): "DeleteObject",
}
_BUCKET = {
    ("PUT", "versioning"): "PutBucketVersioning",
    ("PUT", "object-lock"): "PutObjectLockConfiguration",
    ("PUT", ""): "CreateBucket",
    ("GET", "location"): "GetBucketLocation",
    ("GET", "versioning"): "GetBucketVersioning",
    ("GET", "object-lock"): "GetObjectLockConfiguration",
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "versions"): "ListObjectVersions",
    ("GET", "list-type"): "ListObjectsV2",
    ("GET", ""): "ListObjects",
    ("HEAD", ""): "HeadBucket",
    ("POST", "delete"): "DeleteObjects",
    ("DELETE", ""): "DeleteBucket",
}


def operation_of(method: str, bucket: str, key: str, query: dict[str, str], headers: dict[str, str]) -> str:
    """The name of the operation in S3's API, as botocore names it."""
    if not bucket:
        return "ListBuckets"
    table = _OBJECT if key else _BUCKET
    marks = [mark for verb, mark in table if verb == method and mark and mark in query]
    name = table.get((method, marks[0] if marks else ""), "")
    if "x-amz-copy-source" in headers:
        name = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(name, name)
    return name


def is_streamed(headers: dict[str, str]) -> bool:
    """Whether the body is in S3's own chunks, with or without a checksum behind them."""
    return headers.get("x-amz-content-sha256", "").startswith("STREAMING-")


def decode_streamed(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Take S3's own chunks apart: the bytes, and what was said behind them."""
    pieces, rest = [], body
    while True:
        line, _, rest = rest.partition(b"\r\n")
        length = int(line.split(b";")[0], 16)
        if not length:
            break
        pieces.append(rest[:length])
        rest = rest[length + 2 :]
    pairs = (line.split(":", 1) for line in rest.decode().split("\r\n") if ":" in line)
    return b"".join(pieces), {name.strip().lower(): value.strip() for name, value in pairs}


def byte_range(value: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last, of a Range header."""
    first, _, last = value.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise S3Error(416, "InvalidRange", "The requested range is not satisfiable")
    return start, stop


def copy_source(value: str) -> tuple[str, str, str | None]:
    """Bucket, key and version of an `x-amz-copy-source`."""
    path, _, query = value.partition("?")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    version = query.removeprefix("versionId=") if query.startswith("versionId=") else None
    return bucket, key, version


def parse_xml(body: bytes) -> ElementTree.Element:
    """A request's XML, its namespace taken off."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed.") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def xml(tag: str, content: Any, *, namespace: bool = True) -> bytes:
    """An answer: dicts are elements, lists repeat theirs, None leaves one out."""
    text = _element(tag, content)
    if namespace:
        text = text.replace(f"<{tag}>", f'<{tag} xmlns="{NAMESPACE}">', 1)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode()


def _element(tag: str, content: Any) -> str:
    if isinstance(content, list):
        return "".join(_element(tag, each) for each in content)
    if content is None:
        return ""
    if isinstance(content, dict):
        return f"<{tag}>{''.join(_element(name, value) for name, value in content.items())}</{tag}>"
    if isinstance(content, bool):
        content = str(content).lower()
    return f"<{tag}>{escape(str(content))}</{tag}>"


def iso(moment: datetime) -> str:
    """A moment as S3's XML writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
