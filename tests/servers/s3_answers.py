"""What the small S3 server does for each operation; the rules themselves are in s3_bucket.py."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.servers.s3_bucket import PRECONDITION_FAILED, Bucket, Lock, Version
from tests.servers.s3_http import byte_range, copy_source, iso, parse_xml, xml
from tests.servers.s3_traits import Locking, S3Error

if TYPE_CHECKING:
    from tests.servers.odd_s3 import OddS3, Request

KEPT_HEADERS = ("content-type", "content-encoding", "content-disposition", "cache-control", "x-amz-storage-class")


@dataclass
class Answer:
    """An answer before it is sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def _kept(headers: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS or name.startswith("x-amz-meta-")}
    coding = [part for part in kept.pop("content-encoding", "").split(",") if part.strip() not in ("", "aws-chunked")]
    return {**kept, "content-encoding": ",".join(coding)} if coding else kept


def _made(version: Version) -> dict[str, str]:
    named = {"x-amz-version-id": version.version_id} if version.version_id != "null" else {}
    return {"ETag": f'"{version.etag}"', **named}


def list_buckets(store: OddS3, request: Request) -> Answer:
    buckets = [{"Name": b.name, "CreationDate": iso(b.created)} for b in store.buckets.values()]
    return Answer(body=xml("ListAllMyBucketsResult", {"Owner": {"ID": "tests"}, "Buckets": {"Bucket": buckets}}))


def create_bucket(store: OddS3, request: Request) -> Answer:
    if request.bucket in store.buckets:
        raise S3Error(409, "BucketAlreadyOwnedByYou", "The bucket is yours already.")
    store.bucket(request.bucket, locks=request.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true")
    return Answer(headers={"Location": f"/{request.bucket}"})


def delete_bucket(store: OddS3, request: Request) -> Answer:
    if store.buckets[request.bucket].keys():
        raise S3Error(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
    del store.buckets[request.bucket]
    return Answer(204)


def get_bucket_location(store: OddS3, request: Request) -> Answer:
    return Answer(body=xml("LocationConstraint", ""))


def get_bucket_versioning(store: OddS3, request: Request) -> Answer:
    status = "Enabled" if store.buckets[request.bucket].versioned else None
    return Answer(body=xml("VersioningConfiguration", {"Status": status}))


def put_bucket_versioning(store: OddS3, request: Request) -> Answer:
    store.buckets[request.bucket].versioned = parse_xml(request.body).findtext("Status") == "Enabled"
    return Answer()


def get_lock_configuration(store: OddS3, request: Request) -> Answer:
    bucket = store.buckets[request.bucket]
    if store.traits.locking is Locking.IGNORED:  # Swift answers its listing to this, an empty configuration to a client
        return Answer(body=xml("ObjectLockConfiguration", {}))
    bucket.check_locks()
    rule = None
    if bucket.default_lock:
        mode, length = bucket.default_lock
        rule = {"DefaultRetention": {"Mode": mode, "Days": length.days}}
    return Answer(body=xml("ObjectLockConfiguration", {"ObjectLockEnabled": "Enabled", "Rule": rule}))


def put_lock_configuration(store: OddS3, request: Request) -> Answer:
    bucket = store.buckets[request.bucket]
    bucket.check_locks()
    rule = parse_xml(request.body).find("Rule/DefaultRetention")
    if rule is not None:
        days = int(rule.findtext("Days") or 0) + 365 * int(rule.findtext("Years") or 0)
        bucket.default_lock = (rule.findtext("Mode") or "", timedelta(days=days))
    return Answer()


def list_objects(store: OddS3, request: Request) -> Answer:
    """Both versions of ListObjects, with prefix, delimiter and pages."""
    bucket, query = store.buckets[request.bucket], request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
    room = min(int(query.get("max-keys", 1000)), store.page)
    written: Callable[[str], str] = quote if query.get("encoding-type") == "url" else str
    entries: dict[str, str] = {}  # name or common prefix -> the last key that it stands for
    shown_keys = [key for key in bucket.keys(prefix) if not (store.unlisted and store.unlisted(key))]
    for key in sorted({*shown_keys, *(key for key in store.ghosts if key.startswith(prefix))}):
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        entries[key[: cut + len(delimiter)] if cut >= 0 else key] = key
    names = sorted(name for name, last in entries.items() if last > after and name != after)
    shown, more = names[:room], len(names) > room
    is_prefix = {name: name != entries[name] or (bool(delimiter) and name.endswith(delimiter)) for name in shown}
    gone = Version(b"", "0" * 32)
    contents = [
        _entry(written(name), bucket.get(name) if bucket.exists(name) else gone)
        for name in shown
        if not is_prefix[name]
    ]
    result: dict[str, Any] = {
        "Name": bucket.name,
        "Prefix": written(prefix),
        "Delimiter": delimiter or None,
        "MaxKeys": room,
        "EncodingType": query.get("encoding-type"),
        "KeyCount": len(shown),
        "IsTruncated": more,
        "NextContinuationToken": entries[shown[-1]] if more else None,
        "NextMarker": entries[shown[-1]] if more else None,
        "Contents": contents,
        "CommonPrefixes": [{"Prefix": written(name)} for name in shown if is_prefix[name]],
    }
    return Answer(body=xml("ListBucketResult", result))


def _entry(name: str, version: Version) -> dict[str, Any]:
    return {
        "Key": name,
        "LastModified": iso(version.modified),
        "ETag": f'"{version.etag}"',
        "Size": len(version.data),
        "StorageClass": version.headers.get("x-amz-storage-class", "STANDARD"),
    }


def list_versions(store: OddS3, request: Request) -> Answer:
    bucket = store.buckets[request.bucket]
    found: dict[str, list[dict[str, Any]]] = {"Version": [], "DeleteMarker": []}
    newest: set[str] = set()
    for key, version in bucket.versions(request.query.get("prefix", "")):
        entry = {"Key": key, "VersionId": version.version_id, "IsLatest": key not in newest}
        newest.add(key)
        kind = "DeleteMarker" if version.deleted else "Version"
        found[kind].append({**entry, **({} if version.deleted else _entry(key, version))})
    return Answer(body=xml("ListVersionsResult", {"Name": bucket.name, "IsTruncated": False, **found}))


def list_uploads(store: OddS3, request: Request) -> Answer:
    bucket, prefix = store.buckets[request.bucket], request.query.get("prefix", "")
    uploads = sorted(bucket.uploads.copy().values(), key=lambda upload: (upload.key, upload.started))
    entries = [
        {"Key": upload.key, "UploadId": upload.upload_id, "Initiated": iso(upload.started)}
        for upload in uploads
        if upload.key.startswith(prefix)
    ]
    result = {"Bucket": bucket.name, "Prefix": prefix, "MaxUploads": 1000, "IsTruncated": False, "Upload": entries}
    return Answer(body=xml("ListMultipartUploadsResult", result))


def delete_objects(store: OddS3, request: Request) -> Answer:
    bucket, root = store.buckets[request.bucket], parse_xml(request.body)
    deleted: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for each in root.iter("Object"):
        key, version_id = each.findtext("Key") or "", each.findtext("VersionId")
        try:
            bucket.delete(key, version_id, {})
            deleted.append({"Key": key, "VersionId": version_id})
        except S3Error as error:
            errors.append({"Key": key, "Code": error.code, "Message": error.message})
    quiet = root.findtext("Quiet") == "true"
    return Answer(body=xml("DeleteResult", {"Deleted": [] if quiet else deleted, "Error": errors}))


def put_object(store: OddS3, request: Request) -> Answer:
    version = Version(request.body, hashlib.md5(request.body).hexdigest(), _kept(request.headers))
    return Answer(headers=_made(store.buckets[request.bucket].put(request.key, version, request.headers)))


def _source(store: OddS3, request: Request) -> Version:
    bucket, key, version_id = copy_source(request.headers["x-amz-copy-source"])
    if bucket not in store.buckets:
        raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist")
    source = store.buckets[bucket].get(key, version_id)
    expected = request.headers.get("x-amz-copy-source-if-match")
    if expected and expected.strip('"') != source.etag:
        raise S3Error(*PRECONDITION_FAILED)
    if source.cold:
        raise S3Error(403, "InvalidObjectState", "Operation is not valid for the source object's storage class")
    return source


def copy_object(store: OddS3, request: Request) -> Answer:
    source = _source(store, request)
    replaced = request.headers.get("x-amz-metadata-directive") == "REPLACE"
    headers = _kept(request.headers) if replaced else dict(source.headers)
    version = Version(source.data, hashlib.md5(source.data).hexdigest(), headers)
    store.buckets[request.bucket].put(request.key, version, request.headers, copy=True)
    result = {"ETag": f'"{version.etag}"', "LastModified": iso(version.modified)}
    return Answer(body=xml("CopyObjectResult", result), headers=_made(version))


def get_object(store: OddS3, request: Request) -> Answer:
    """GetObject and HeadObject: conditions, a range, locks."""
    bucket = store.buckets[request.bucket]
    version = bucket.get(request.key, request.query.get("versionId"))
    if version.deleted:
        raise S3Error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
    headers, head = request.headers, request.method == "HEAD"
    if (expected := headers.get("if-match")) and expected.strip('"') not in ("*", version.etag):
        raise S3Error(*PRECONDITION_FAILED)
    if (seen := headers.get("if-none-match")) and seen.strip('"') in ("*", version.etag):
        return Answer(304, headers=_made(version))
    if version.cold and not head:
        raise S3Error(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
    data, status, fields = version.data, 200, {"Accept-Ranges": "bytes", **_made(version), **version.headers}
    if wanted := headers.get("range"):
        start, stop = byte_range(wanted, len(data))
        fields["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        data, status = data[start:stop], 206
    fields["Last-Modified"] = format_datetime(version.modified, usegmt=True)
    if lock := bucket.shown_lock(version):
        fields |= {"x-amz-object-lock-mode": lock.mode, "x-amz-object-lock-retain-until-date": iso(lock.until)}
    fields = {"Content-Type": fields.pop("content-type", "binary/octet-stream"), **fields}
    return Answer(status, data, {**fields, "Content-Length": str(len(data))})


def delete_object(store: OddS3, request: Request) -> Answer:
    version_id = request.query.get("versionId")
    marker = store.buckets[request.bucket].delete(request.key, version_id, request.headers)
    named = {"x-amz-version-id": version_id} if version_id else {}
    return Answer(204, headers=_marked(marker) if marker else named)


def _marked(marker: Version) -> dict[str, str]:
    return {"x-amz-delete-marker": "true", "x-amz-version-id": marker.version_id}


def get_retention(store: OddS3, request: Request) -> Answer:
    bucket = store.buckets[request.bucket]
    version = bucket.get(request.key, request.query.get("versionId"))
    lock = bucket.shown_lock(version)
    if lock is None:
        code = "NoSuchObjectLockConfiguration" if bucket.locks else "InvalidRequest"
        message = "The specified object does not have a ObjectLock configuration"
        raise S3Error(404 if bucket.locks else 400, code, message)
    return Answer(body=xml("Retention", {"Mode": lock.mode, "RetainUntilDate": iso(lock.until)}))


def put_retention(store: OddS3, request: Request) -> Answer:
    root = parse_xml(request.body)
    until = datetime.fromisoformat(root.findtext("RetainUntilDate") or "")
    lock = Lock(root.findtext("Mode") or "", until)
    store.buckets[request.bucket].set_lock(request.key, request.query.get("versionId"), lock, request.headers)
    return Answer()


def create_upload(store: OddS3, request: Request) -> Answer:
    bucket: Bucket = store.buckets[request.bucket]
    lock_headers = {k: v for k, v in request.headers.items() if k.startswith("x-amz-object-lock-")}
    headers = {**_kept(request.headers), **lock_headers, "x-amz-is-multipart": "1"}
    upload = bucket.start(request.key, headers)
    upload.headers = _kept(request.headers)
    named = {"Bucket": bucket.name, "Key": request.key, "UploadId": upload.upload_id}
    return Answer(body=xml("InitiateMultipartUploadResult", named))


def upload_part(store: OddS3, request: Request) -> Answer:
    upload = store.buckets[request.bucket].upload(request.key, request.query["uploadId"])
    part = Version(request.body, hashlib.md5(request.body).hexdigest())
    upload.parts[int(request.query["partNumber"])] = part
    return Answer(headers={"ETag": f'"{part.etag}"'})


def upload_part_copy(store: OddS3, request: Request) -> Answer:
    upload, source = (
        store.buckets[request.bucket].upload(request.key, request.query["uploadId"]),
        _source(store, request),
    )
    data = source.data
    if wanted := request.headers.get("x-amz-copy-source-range"):
        start, stop = byte_range(wanted, len(data))
        data = data[start:stop]
    part = Version(data, hashlib.md5(data).hexdigest())
    upload.parts[int(request.query["partNumber"])] = part
    return Answer(body=xml("CopyPartResult", {"ETag": f'"{part.etag}"', "LastModified": iso(part.modified)}))


def list_parts(store: OddS3, request: Request) -> Answer:
    upload = store.buckets[request.bucket].upload(request.key, request.query["uploadId"])
    parts = [
        {"PartNumber": number, "ETag": f'"{part.etag}"', "Size": len(part.data), "LastModified": iso(part.modified)}
        for number, part in sorted(upload.parts.items())
    ]
    named = {"Bucket": request.bucket, "Key": request.key, "UploadId": upload.upload_id}
    return Answer(body=xml("ListPartsResult", {**named, "IsTruncated": False, "Part": parts}))


def complete_upload(store: OddS3, request: Request) -> Answer:
    listed = [
        (int(part.findtext("PartNumber") or 0), part.findtext("ETag") or "")
        for part in parse_xml(request.body).iter("Part")
    ]
    bucket, upload_id = store.buckets[request.bucket], request.query["uploadId"]
    version, first = bucket.complete(request.key, upload_id, listed, request.headers)
    etag = "" if first and not store.traits.completion_has_etag else f'"{version.etag}"'
    named = {"Bucket": bucket.name, "Key": request.key, "ETag": etag}
    fields = {name: value for name, value in _made(version).items() if name != "ETag"}
    return Answer(body=xml("CompleteMultipartUploadResult", named), headers=fields)


def abort_upload(store: OddS3, request: Request) -> Answer:
    store.buckets[request.bucket].abort(request.key, request.query["uploadId"])
    return Answer(204)


ANSWERS: dict[str, Callable[[OddS3, Request], Answer]] = {
    "ListBuckets": list_buckets,
    "CreateBucket": create_bucket,
    "HeadBucket": lambda store, request: Answer(),
    "DeleteBucket": delete_bucket,
    "GetBucketLocation": get_bucket_location,
    "GetBucketVersioning": get_bucket_versioning,
    "PutBucketVersioning": put_bucket_versioning,
    "GetObjectLockConfiguration": get_lock_configuration,
    "PutObjectLockConfiguration": put_lock_configuration,
    "ListObjects": list_objects,
    "ListObjectsV2": list_objects,
    "ListObjectVersions": list_versions,
    "ListMultipartUploads": list_uploads,
    "DeleteObjects": delete_objects,
    "PutObject": put_object,
    "CopyObject": copy_object,
    "GetObject": get_object,
    "HeadObject": get_object,
    "DeleteObject": delete_object,
    "GetObjectRetention": get_retention,
    "PutObjectRetention": put_retention,
    "CreateMultipartUpload": create_upload,
    "UploadPart": upload_part,
    "UploadPartCopy": upload_part_copy,
    "ListParts": list_parts,
    "CompleteMultipartUpload": complete_upload,
    "AbortMultipartUpload": abort_upload,
}
