"""The chain against real object stores; where what they need is missing, as in `make test`, they are left out."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers import gcs, odd_s3, sftp
from tests.stores import store_servers
from tests.stores.store_chain import StoreChain

_lacking = store_servers.missing()
if _lacking and os.environ.get("IINKED_SKIP_NOTHING"):
    raise pytest.UsageError(f"The tests of object stores lack {_lacking}.")
if _lacking:
    collect_ignore_glob = ["test_chain_*.py", "test_upload*.py", "test_odd*.py", "test_gcs*.py", "test_sftp*.py"]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store_servers.s3_server(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azure_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store_servers.azure_server(tmp_path_factory.mktemp("azure")) as endpoint:
        yield endpoint


@pytest.fixture
def s3_bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., store_servers.S3Bucket]:
    def make(**options: Any) -> store_servers.S3Bucket:
        bucket = store_servers.S3Bucket(s3_endpoint, f"bucket-{next(_numbers)}", **options)
        monkeypatch.setenv(*bucket.connection())
        return bucket

    return make


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with gcs.gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with sftp.asyncssh_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(scope="session")
def odd_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[odd_s3.StoreTraits], odd_s3.OddS3]]:
    """Small servers over https, one for each kind of store that speaks S3."""
    running: dict[str, odd_s3.OddS3] = {}
    with contextlib.ExitStack() as stack:

        def start(traits: odd_s3.StoreTraits) -> odd_s3.OddS3:
            if traits.name not in running:
                folder = tmp_path_factory.mktemp(traits.name)
                running[traits.name] = stack.enter_context(odd_s3.odd_s3(folder, traits, https=True))
            return running[traits.name]

        yield start


@pytest.fixture
def odd_bucket(
    odd_servers: Callable[[odd_s3.StoreTraits], odd_s3.OddS3], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., store_servers.OddBucket]:
    def make(traits: odd_s3.StoreTraits, *, versioned: bool = False, locks: bool = False) -> store_servers.OddBucket:
        server = odd_servers(traits)
        server.heal()
        server.before.clear()
        server.log.clear()
        bucket = store_servers.OddBucket(server, f"odd-{next(_numbers)}", versioned=versioned, locks=locks)
        monkeypatch.setenv(*bucket.connection())
        monkeypatch.setenv("AWS_CA_BUNDLE", str(server.ca))
        return bucket

    return make


@pytest.fixture(params=["s3", "azure", "gcs", "sftp"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "s3":
        return request.getfixturevalue("s3_bucket")()
    number = next(_numbers)
    made: Any
    if request.param == "azure":
        made = store_servers.AzureContainer(request.getfixturevalue("azure_endpoint"), f"container-{number}")
    elif request.param == "gcs":
        server = request.getfixturevalue("gcs_server")
        server.wire.heal()
        server.wire.log.clear()
        made = server.bucket(f"bucket-{number}")
    else:
        made = store_servers.SftpFolder(request.getfixturevalue("sftp_server"), f"stores_sftp_{number}")
    monkeypatch.setenv(*made.connection())
    return made


@pytest.fixture
def stored(chain: Any, bucket: Any) -> StoreChain:
    return StoreChain(chain, bucket)


@pytest.fixture
def stored_s3(chain: Any, s3_bucket: Callable[..., store_servers.S3Bucket]) -> StoreChain:
    return StoreChain(chain, s3_bucket())
