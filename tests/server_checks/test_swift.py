"""Swift starts from Debian's packages and does what the preset SWIFT says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import swift as servers

if _lacking := servers.missing():
    pytest.skip(f"{_lacking} is not installed", allow_module_level=True)
pytest.importorskip("boto3", reason="boto3 is not installed")

from botocore.exceptions import ClientError


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("swift")
    if not servers.keeps_xattr(folder):
        pytest.skip(f"{folder} keeps no extended attributes")
    with servers.swift(folder) as swift:
        client = swift.client()
        client.create_bucket(Bucket="copies")
        yield client


def refusal(act: Any, **arguments: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        act(Bucket="copies", **arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_an_object_is_stored_and_read(client: Any) -> None:
    client.put_object(Bucket="copies", Key="a/k", Body=b"hello")
    assert client.get_object(Bucket="copies", Key="a/k")["Body"].read() == b"hello"


def test_a_condition_on_put_object_is_refused_for_a_free_name_too(client: Any) -> None:
    assert refusal(client.put_object, Key="free", Body=b"x", IfNoneMatch="*") == (501, "NotImplemented")


def test_a_condition_on_completing_an_upload_is_honoured(client: Any) -> None:
    client.put_object(Bucket="copies", Key="taken", Body=b"first")
    upload = client.create_multipart_upload(Bucket="copies", Key="taken")["UploadId"]
    named = {"Key": "taken", "UploadId": upload}
    etag = client.upload_part(Bucket="copies", PartNumber=1, Body=b"x", **named)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert refusal(client.complete_multipart_upload, MultipartUpload=parts, IfNoneMatch="*", **named) == (
        412,
        "InvalidRequest",
    )
    assert client.get_object(Bucket="copies", Key="taken")["Body"].read() == b"first"


def test_a_wrong_md5_is_refused(client: Any) -> None:
    assert refusal(client.put_object, Key="k", Body=b"x", ContentMD5="A" * 22 + "==") == (400, "BadDigest")
