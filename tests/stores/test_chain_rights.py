"""The least rights that the chain runs with: of an IAM user, as moto enforces them, and of a SAS, as azurite does."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from airflow_provider_iinked.exceptions import IinkedSignError
from tests.stores import store_servers
from tests.stores.store_chain import StoreChain

MIB = 1 << 20
_numbers = itertools.count(1)
ON_OBJECTS = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject")
ON_BUCKET = ("s3:ListBucket", "s3:ListBucketMultipartUploads")


@pytest.fixture(scope="module")
def strict_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store_servers.s3_server(tmp_path_factory.mktemp("strict"), INITIAL_NO_AUTH_ACTION_COUNT="1000000") as endpoint:
        yield endpoint


@pytest.fixture
def limited(chain: Any, strict_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StoreChain]]:
    """A bucket, and a connection of a user that may do what a test says and nothing else."""
    import boto3

    reset = f"{strict_endpoint}/moto-api/reset-auth"

    def make(*actions: str) -> StoreChain:
        bucket = store_servers.S3Bucket(strict_endpoint, f"limited-{next(_numbers)}")
        iam = boto3.client(
            "iam",
            endpoint_url=strict_endpoint,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        iam.create_user(UserName=bucket.name)
        arn = f"arn:aws:s3:::{bucket.name}"
        statement = [
            {"Effect": "Allow", "Action": [a for a in actions if a in ON_BUCKET], "Resource": arn},
            {"Effect": "Allow", "Action": [a for a in actions if a not in ON_BUCKET], "Resource": f"{arn}/copies/*"},
        ]
        policy = {"Version": "2012-10-17", "Statement": [part for part in statement if part["Action"]]}
        iam.put_user_policy(UserName=bucket.name, PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=bucket.name)["AccessKey"]
        name, connection = bucket.connection()
        fields = {**json.loads(connection), "login": key["AccessKeyId"], "password": key["SecretAccessKey"]}
        monkeypatch.setenv(name, json.dumps(fields))
        requests.post(reset, data=b"0", timeout=10)
        return StoreChain(chain, bucket)

    yield make
    requests.post(reset, data=b"1000000", timeout=10)


def deleted(stored: StoreChain) -> list[str]:
    """Run the whole chain for a small and a large recording; the ids that were deleted."""
    package, _ = stored.package("video-1", {"meeting_video_id": "video-2", "size": 20 * MIB})
    stored.delete(verified_copies=stored.download(package))
    return sorted(stored.sim.ledger.deletions)


def test_these_actions_are_enough(limited: Callable[..., StoreChain]) -> None:
    assert deleted(limited(*ON_OBJECTS, *ON_BUCKET)) == ["video-1", "video-2"]


@pytest.mark.parametrize("missing", ["s3:ListBucketMultipartUploads", "s3:DeleteObject"])
def test_the_chain_runs_without_the_right_to_clear_up(limited: Callable[..., StoreChain], missing: str) -> None:
    assert deleted(limited(*(a for a in (*ON_OBJECTS, *ON_BUCKET) if a != missing))) == ["video-1", "video-2"]


@pytest.mark.parametrize("missing", ["s3:GetObject", "s3:PutObject", "s3:ListBucket"])
def test_without_one_of_these_nothing_is_deleted(limited: Callable[..., StoreChain], missing: str) -> None:
    stored = limited(*(a for a in (*ON_OBJECTS, *ON_BUCKET) if a != missing))

    with pytest.raises(IinkedSignError):
        deleted(stored)

    assert stored.sim.ledger.deletions == []


@pytest.mark.parametrize(("rights", "enough"), [("rwdl", True), ("rwl", True), ("rdl", False), ("wdl", False)])
def test_a_containers_sas_with_read_write_and_list_is_enough(
    chain: Any, azure_endpoint: str, monkeypatch: pytest.MonkeyPatch, rights: str, enough: bool
) -> None:
    from datetime import UTC, datetime, timedelta

    from azure.storage.blob import generate_container_sas

    container = store_servers.AzureContainer(azure_endpoint, f"sas-{rights}")
    token = generate_container_sas(
        store_servers.AZURITE_ACCOUNT,
        container.name,
        account_key=store_servers.AZURITE_KEY,
        permission=rights,
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    name, _ = container.connection()
    extra = {"connection_string": f"BlobEndpoint={azure_endpoint};SharedAccessSignature={token}"}
    monkeypatch.setenv(name, json.dumps({"conn_type": "wasb", "extra": extra}))
    stored = StoreChain(chain, container)

    if enough:
        assert deleted(stored) == ["video-1", "video-2"]
        return
    with pytest.raises(IinkedSignError):
        deleted(stored)
    assert stored.sim.ledger.deletions == []
