"""Names that file systems read as patterns, and names that need quoting: each call means one object, literally."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.storage import open_store
from airflow_provider_iinked.storage.quarantine import quarantine
from tests.stores.store_chain import StoreChain

ODD = ["a*.mp4", "a[12].mp4", "a{1,2}.mp4", "a1.mp4", "a2.mp4", "ä 1+%20&.mp4"]


@pytest.fixture
def crowded(stored: StoreChain) -> StoreChain:
    """A folder in which others keep files of such names, beside folders of such names."""
    for name in ODD:
        stored.put("p", name, name.encode())
        stored.put(f"p{name.removesuffix('.mp4')}", "x.mp4", b"beside")
    return stored


def test_a_listing_names_each_object_once_and_as_it_is(crowded: StoreChain) -> None:
    store = crowded.store()

    assert store.list_names(f"{crowded.url}/p") == sorted(ODD)
    assert sorted(name for name, _ in store.list_objects(f"{crowded.url}/p")) == sorted(ODD)
    assert [info.size for name, info in store.list_objects(f"{crowded.url}/p") if name == "a1.mp4"] == [6]
    assert set(store.list_names(crowded.url)) == {"p", *(f"p{name.removesuffix('.mp4')}" for name in ODD)}


@pytest.mark.parametrize("pattern", ["a*", "a[12]", "a{1,2}", "*", "p*", "[p]"])
def test_a_pattern_names_no_folder(crowded: StoreChain, pattern: str) -> None:
    store = crowded.store()

    assert store.list_names(f"{crowded.url}/{pattern}") == []
    assert store.list_objects(f"{crowded.url}/{pattern}") == []


@pytest.mark.parametrize("name", ["a*.mp4", "a[12].mp4", "a{1,2}.mp4"])
def test_one_object_is_looked_at_read_and_removed(crowded: StoreChain, name: str) -> None:
    store, url = crowded.store(), f"{crowded.url}/p/{name}"

    assert store.info(url) is not None
    assert store.read_bytes(url) == b"".join(store.read_chunks(url)) == name.encode()
    store.remove(url)

    assert store.info(url) is None
    assert crowded.names("p") == sorted(set(ODD) - {name})


@pytest.mark.parametrize("name", ["a*.mp4", "a[12].mp4", "a{1,2}.mp4"])
def test_a_name_that_is_free_matches_nothing(stored: StoreChain, name: str) -> None:
    stored.put("p", "a1.mp4", b"1")
    store, url = stored.store(), f"{stored.url}/p/{name}"

    assert store.info(url) is None
    assert store.read_bytes(url) is None
    store.remove(url)
    assert store.create_json(url, {}) is True
    assert stored.get("p", "a1.mp4") == b"1"
    assert stored.names("p") == sorted(["a1.mp4", name])


@pytest.mark.parametrize("name", ["a*.mp4", "a[12].mp4", "a{1,2}.mp4"])
def test_one_object_is_quarantined_and_no_other(crowded: StoreChain, name: str) -> None:
    store, url = crowded.store(), f"{crowded.url}/p/{name}"

    assert quarantine(store, url, "it is a test", seen=store.identity(url))

    left = set(crowded.names("p"))
    (aside,) = left - set(ODD)
    assert aside.startswith(f"{name}.set-aside-")
    assert crowded.get("p", aside) == name.encode()
    assert left - {aside} == set(ODD) - {name}


def test_the_chain_leaves_names_of_others_alone(stored: StoreChain) -> None:
    package, (video,) = stored.package("video-1")
    for name in ODD:
        stored.put(package, name, name.encode())
    stored.put(package, "video-1.mp4", b"damaged")

    copies = stored.download(package)
    stored.delete(verified_copies=copies)

    assert stored.sim.ledger.deletions == [video]
    assert {name: stored.get(package, name) for name in ODD} == {name: name.encode() for name in ODD}


@pytest.mark.parametrize("prefix", ["with space", "Räume/2026", "50%25+a&b=c", "日本"])
def test_a_destination_with_such_a_prefix_works(chain: Any, bucket: Any, prefix: str) -> None:
    url = f"{bucket.url}/{prefix}"
    package, videos = chain.package("video-1", {"meeting_video_id": "video-2", "size": 9 << 20})

    copies = chain.download(package, destination=url)
    assert chain.download(package, destination=url) == copies
    chain.delete(verified_copies=copies)

    assert sorted(chain.sim.ledger.deletions) == sorted(videos)
    assert verify_copies(url).counts == {"ok": 2}
    names = set(open_store(url).list_names(f"{url}/{package}"))
    assert {f"copies/{prefix}/{package}/{name}" for name in names} == set(bucket.names(f"copies/{prefix}/"))
