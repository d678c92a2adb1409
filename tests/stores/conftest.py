"""The chain against real object stores; where what they need is missing, as in `make test`, they are left out."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.stores import store_servers
from tests.stores.store_chain import StoreChain

_lacking = store_servers.missing()
if _lacking and os.environ.get("IINKED_SKIP_NOTHING"):
    raise pytest.UsageError(f"The tests of object stores lack {_lacking}.")
if _lacking:
    collect_ignore_glob = ["test_chain_*.py", "test_upload*.py"]

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


@pytest.fixture(params=["s3", "azure"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "s3":
        return request.getfixturevalue("s3_bucket")()
    container = store_servers.AzureContainer(request.getfixturevalue("azure_endpoint"), f"container-{next(_numbers)}")
    monkeypatch.setenv(*container.connection())
    return container


@pytest.fixture
def stored(chain: Any, bucket: Any) -> StoreChain:
    return StoreChain(chain, bucket)


@pytest.fixture
def stored_s3(chain: Any, s3_bucket: Callable[..., store_servers.S3Bucket]) -> StoreChain:
    return StoreChain(chain, s3_bucket())
