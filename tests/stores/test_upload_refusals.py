"""What real servers answer to a wrong key, a wrong name, or a copy in cold storage, and what we make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import IinkedSignError, StorageError
from tests.stores.store_chain import StoreChain

only = pytest.mark.parametrize


@only("bucket", ["s3", "azure", "gcs"], indirect=True)
def test_a_bucket_that_is_not_there_is_named_before_a_recording_is_fetched(stored: StoreChain) -> None:
    package, _ = stored.package("video-1")
    url = stored.url.replace(f"@{stored.bucket.name}", "@no-such-name")

    with pytest.raises(StorageError, match=r"(NoSuchBucket|ContainerNotFound).*Create the bucket"):
        stored.chain.download(package, destination=url)


@only("bucket", ["azure"], indirect=True)
def test_a_wrong_key_of_azure_is_named(stored: StoreChain, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "d3Jvbmcga2V5IG9mIHRoZSByaWdodCBmb3JtLCBub3RoaW5nIGVsc2Ugd3Jvbmc="
    text = ";".join(
        f"AccountKey={key}" if part.startswith("AccountKey=") else part
        for part in stored.bucket.connection_string.split(";")
    )
    name, _ = stored.bucket.connection()
    monkeypatch.setenv(name, json.dumps({"conn_type": "wasb", "extra": {"connection_string": text}}))
    package, _ = stored.package("video-1")

    with pytest.raises(StorageError, match=r"(AuthenticationFailed|AuthorizationFailure).*key") as caught:
        stored.download(package)
    assert key not in str(caught.value)


@only("bucket", ["azure"], indirect=True)
def test_a_copy_in_azures_archive_tier_keeps_its_recording_and_the_error_names_the_tier(stored: StoreChain) -> None:
    package, (video,) = stored.package("video-1")
    copies = stored.download(package)
    blob = stored.bucket.client.get_blob_client(f"copies/{package}/{video}.mp4")
    blob.set_standard_blob_tier("Archive")

    with pytest.raises(IinkedSignError, match="cold storage"):
        stored.delete(verified_copies=copies)
    assert stored.sim.ledger.deletions == []
    assert stored.download(package) == copies, "a second run reads no bytes"


def test_a_copy_in_glacier_keeps_its_recording_and_the_error_names_the_cause(chain: Any, odd_bucket: Any) -> None:
    from tests.servers.odd_s3 import S3

    stored = StoreChain(chain, odd_bucket(S3))
    package, (video,) = stored.package("video-1")
    copies = stored.download(package)
    version = stored.bucket.bucket.get(f"copies/{package}/{video}.mp4")
    version.headers["x-amz-storage-class"] = "GLACIER"

    with pytest.raises(IinkedSignError, match=r"InvalidObjectState.*leave \*\.json out"):
        stored.delete(verified_copies=copies, recheck="sha256")
    assert stored.sim.ledger.deletions == []
    assert stored.download(package) == copies, "a second run reads no bytes"
    stored.delete(verified_copies=copies, recheck="metadata")
    assert stored.sim.ledger.deletions == [video]


@only("bucket", ["sftp"], indirect=True)
def test_a_key_that_the_server_does_not_know_is_named(
    stored: StoreChain, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    import asyncssh

    other = asyncssh.generate_private_key("ssh-ed25519")
    other.write_private_key(str(tmp_path / "other_key"))
    name, value = stored.bucket.connection()
    fields = json.loads(value)
    fields["extra"]["key_file"] = str(tmp_path / "other_key")
    monkeypatch.setenv(name, json.dumps(fields))
    package, _ = stored.package("video-1")

    with pytest.raises(StorageError, match=r"Permission.*check login"):
        stored.download(package)


@only("bucket", ["sftp"], indirect=True)
def test_a_server_that_is_away_is_named(stored: StoreChain, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = stored.bucket.connection()
    monkeypatch.setenv(name, json.dumps({**json.loads(value), "port": 1}))
    package, _ = stored.package("video-1")

    with pytest.raises(StorageError, match=r"ConnectionRefusedError.*could not be reached"):
        stored.download(package)


@only("bucket", ["gcs"], indirect=True)
@only(("status", "code"), [(401, "Unauthorized"), (403, "Forbidden"), (429, "TooManyRequests")])
def test_an_answer_of_google_is_named(stored: StoreChain, status: int, code: str) -> None:
    package, _ = stored.package("video-1")
    stored.bucket.server.wire.answer_next(lambda each: True, status, "refused", times=100)

    with pytest.raises(StorageError, match=code):
        stored.download(package)
