"""Which destination URLs are taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.storage.url import check_destination, failure_domain, join

REFUSED = {
    "None": None,
    "number": 5,
    "empty": "",
    "blank": "  ",
    "text None": "None",
    "no scheme": "/data/recordings",
    "relative": "data/recordings",
    "relative with scheme": "file://data/recordings",
    "one slash": "file:/data",
    "upper case scheme": "S3://bucket/x",
    "part None": "s3://bucket/None/x",
    "part null": "file:///data/null",
    "bucket None": "s3://None/x",
    "connection None": "s3://None@bucket/x",
    "braces": "s3://bucket/{{ ds }}",
    "one brace": "file:///data/{x",
    "memory": "memory://x/y",
    "cached": "simplecache://x/y",
    "file cache": "filecache://x/y",
    "chained": "simplecache::s3://bucket/x",
    "chained otherwise": "zip://x::s3://bucket/a.zip",
    "no bucket": "s3:///x",
    "connection only": "s3://conn@/x",
    "empty part": "s3://bucket//x",
    "up": "file:///data/../etc",
    "here": "s3://bucket/./x",
    "query": "s3://bucket/x?y=1",
    "fragment": "s3://bucket/x#y",
    "newline": "file:///data/\nx",
    "blank around": " file:///data",
    "scheme only": "s3://",
    "access point ARN": "s3://arn:aws:s3:eu-central-1:123456789012:accesspoint/records/x",
    "a pattern": "s3://bucket/rec[12]",
    "any name": "file:///data/*",
    "a scheme without a store": "ftp://host/x",
    "broken host": "s3://[bucket/x",
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_a_destination_that_cannot_be_relied_on_is_refused_with_its_field(value):
    with pytest.raises(InvalidArgumentError, match=r"^receipt_destination .*Nothing was sent"):
        check_destination(value, "receipt_destination")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("file:///data/recordings", "file:///data/recordings"),
        ("file:///data/recordings/", "file:///data/recordings"),
        ("file:///data//recordings", "file:///data/recordings"),
        ("file://localhost/data", "file:///data"),
        ("local:///data", "local:///data"),
        ("s3://bucket", "s3://bucket"),
        ("s3://conn_id@bucket/prefix/", "s3://conn_id@bucket/prefix"),
        ("abfs://conn@container/a/b", "abfs://conn@container/a/b"),
        ("gs://bucket/Nonesuch", "gs://bucket/Nonesuch"),
    ],
)
def test_a_destination_passes_in_one_spelling(value, expected):
    assert check_destination(value) == expected


@given(st.text())
def test_any_text_passes_or_is_refused_and_what_passes_passes_again(value):
    try:
        checked = check_destination(value)
    except InvalidArgumentError:
        return
    assert check_destination(checked) == checked


def test_names_are_joined_below_a_destination():
    assert join("s3://bucket/", "p", "v.mp4") == "s3://bucket/p/v.mp4"
    assert join(check_destination("file:///"), "p", "v.mp4") == "file:///p/v.mp4"


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("s3://conn@Bucket/a", "s3://bucket"),
        ("s3a://bucket/b", "s3://bucket"),
        ("gs://bucket/b", "gs://bucket"),
        ("gcs://x@bucket", "gs://bucket"),
        ("abfs://conn@container/x", "abfs://container"),
        ("abfss://container@account.dfs.core.windows.net/x", "abfs://account.dfs.core.windows.net"),
        ("ssh://conn@host/x", "sftp://host"),
        ("sftp://conn@HOST.:22/x", "sftp://host"),
        ("file:///data/a", "file:"),
        ("local:///mnt/b", "file:"),
    ],
)
def test_a_failure_domain_is_the_store_with_its_bucket_container_or_host(url, domain):
    assert failure_domain(url) == domain
