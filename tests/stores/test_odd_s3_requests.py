"""What goes over the wire to S3 for each recording: no look that the answer to a conditional write makes needless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.servers.odd_s3 import S3
from tests.stores.store_chain import StoreChain

COUNT = 5
# The first write of a task shows what the store makes of the condition: a look, and the same write once more.
LEARNING = Counter({"HeadObject": 1, "PutObject": 1})


@pytest.fixture
def stored(chain: Any, odd_bucket: Callable[..., Any]) -> StoreChain:
    return StoreChain(chain, odd_bucket(S3))


def operations(stored: StoreChain) -> Counter[str]:
    """What was asked for since the last call."""
    seen = Counter(request.operation for request in stored.bucket.server.log)
    stored.bucket.server.log.clear()
    return seen


def test_a_copy_and_its_record_take_one_request_each_and_the_folder_is_listed_once(stored: StoreChain) -> None:
    package, _ = stored.package(*(f"video-{number}" for number in range(COUNT)))

    stored.download(package)

    assert operations(stored) == Counter({"ListObjectsV2": 1, "PutObject": 2 * COUNT}) + LEARNING


def test_a_guarded_deletion_reads_record_and_copy_and_writes_its_receipt_twice(stored: StoreChain) -> None:
    package, _ = stored.package(*(f"video-{number}" for number in range(COUNT)))
    copies = stored.download(package)
    operations(stored)

    stored.delete(verified_copies=copies)

    seen = operations(stored)
    lists = seen.pop("ListObjectsV2") - 1  # one for what killed runs left
    looks_for_holds = lists / 2 - 1  # in the folder and in its other spelling; one before anything else
    assert seen == Counter({"GetObject": 2 * COUNT, "PutObject": 2 * COUNT}) + LEARNING
    assert 1 <= looks_for_holds <= COUNT, "a look serves all requests that may rest on it"


def test_connections_are_used_again(stored: StoreChain) -> None:
    package, _ = stored.package(*(f"video-{number}" for number in range(4 * COUNT)))

    stored.download(package, max_parallel=2)

    ports = {request.port for request in stored.bucket.server.log}
    assert len(ports) <= 4, "two copies and two records at a time"
