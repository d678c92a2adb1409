"""Azure over a wire that loses answers: before or after the act, at any call."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.exceptions import StorageError
from tests.servers.wire import Exchange, Wire, wire_to
from tests.stores.store_chain import StoreChain
from tests.stores.store_servers import AZURITE_ACCOUNT, AzureContainer

MIB = 1 << 20
_numbers = itertools.count(1)
CALLS = {
    "put blob": lambda each: each.method == "PUT" and "x-ms-blob-type" in each.headers,
    "put block": lambda each: each.query.get("comp") == "block",
    "commit": lambda each: each.query.get("comp") == "blocklist",
    "copy": lambda each: "x-ms-copy-source" in each.headers,
    "delete": lambda each: each.method == "DELETE",
    "look": lambda each: each.method == "HEAD",
    "read": lambda each: each.method == "GET" and "comp" not in each.query,
    "list": lambda each: each.query.get("comp") == "list",
}


@pytest.fixture(scope="module")
def wire(azure_endpoint: str) -> Iterator[Wire]:
    with wire_to(urlsplit(azure_endpoint).port or 0) as wire:
        yield wire


@pytest.fixture
def stored(chain: Any, wire: Wire, azure_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> StoreChain:
    wire.heal()
    wire.log.clear()
    container = AzureContainer(azure_endpoint, f"wire-{next(_numbers)}")
    container.connection_string = container.connection_string.replace(azure_endpoint, f"{wire.url}/{AZURITE_ACCOUNT}")
    monkeypatch.setenv(*container.connection())
    return StoreChain(chain, container)


@pytest.mark.parametrize("after", [False, True], ids=["before the act", "after the act"])
@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_is_lost_costs_nothing(stored: StoreChain, wire: Wire, call: str, after: bool) -> None:
    package, videos = stored.package("small-1", {"meeting_video_id": "large-1", "size": 9 * MIB}, "stale-1")
    stored.put(package, "stale-1.mp4", b"stale")
    wire.break_next(CALLS[call], after=after)

    try:
        copies = stored.download(package)
    except StorageError:
        copies = stored.download(package)
    assert any(each.status == 0 for each in wire.log if CALLS[call](each)) or call == "read"
    stored.delete(verified_copies=copies)

    assert sorted(stored.sim.ledger.deletions) == sorted(videos)
    assert verify_copies(stored.url).counts == {"ok": 3}
    names = stored.names(package)
    assert {stored.get(package, name) for name in names if "set-aside" in name} == {b"stale"}
    for video in videos:
        assert json.loads(stored.get(package, f"{video}.custody.json"))["sha256"] == stored.sim.sha256(video)


def test_a_copy_is_created_only_if_its_name_is_free(stored: StoreChain, wire: Wire) -> None:
    package, _ = stored.package("small-1", {"meeting_video_id": "large-1", "size": 9 * MIB})
    stored.download(package)

    def creates(each: Exchange) -> bool:
        return CALLS["put blob"](each) or CALLS["commit"](each)

    assert [each.headers.get("if-none-match") for each in wire.log if creates(each)] == ["*"] * 4
