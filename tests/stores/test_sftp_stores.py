"""SFTP, on asyncssh and on OpenSSH, with and without a shell, posix-rename and fsync."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.exceptions import StorageError
from tests.servers import sftp
from tests.servers.sftp import SftpOptions, watching
from tests.stores.store_chain import StoreChain
from tests.stores.store_servers import SftpFolder

MIB = 1 << 20
_numbers = itertools.count(1)

SERVERS = {
    "asyncssh": (sftp.asyncssh_server, SftpOptions()),
    "asyncssh, packets of 32 KiB": (sftp.asyncssh_server, SftpOptions(max_packet=33 * 1024, limits=False)),
    "asyncssh, plain": (sftp.asyncssh_server, SftpOptions(posix_rename=False, fsync=False, atomic_rename=False)),
    "openssh": (sftp.openssh_server, SftpOptions()),
    "openssh, shell": (sftp.openssh_server, SftpOptions(shell=True)),
    "openssh, plain": (sftp.openssh_server, SftpOptions(posix_rename=False, fsync=False)),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    serve, options = SERVERS[request.param]
    if serve is sftp.openssh_server and not sftp.SSHD.exists():
        pytest.skip("no openssh-server")
    with serve(tmp_path_factory.mktemp("sftp"), options) as running:
        yield running


@pytest.fixture
def stored(chain: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> StoreChain:
    folder = SftpFolder(server, f"stores_ssh_{next(_numbers)}")
    monkeypatch.setenv(*folder.connection())
    return StoreChain(chain, folder)


def test_the_whole_chain_and_nothing_half_visible_at_any_moment(stored: StoreChain) -> None:
    package, (small, large) = stored.package("small-1", {"meeting_video_id": "large-1", "size": 9 * MIB})
    with watching(stored.bucket.root) as watcher:
        copies = stored.download(package)
        stored.delete(verified_copies=copies, recheck="metadata")

    assert [copy["sha256"] for copy in copies] == [stored.sim.sha256(small), stored.sim.sha256(large)]
    final = {name: sizes for name, sizes in watcher.seen.items() if not name.endswith(".part")}
    assert all(0 not in sizes for sizes in final.values())
    assert all(len(sizes) == 1 for name, sizes in final.items() if not name.endswith(".deletion.json")), final
    assert watcher.sizes("large-1.mp4") == [9 * MIB]
    assert sorted(stored.sim.ledger.deletions) == sorted([small, large])
    assert stored.json(package, "small-1.deletion.json")["status"] == "deleted"
    assert not [name for name in stored.names(package) if name.endswith(".part")]

    assert stored.download(package) == copies, "a second run keeps both"
    assert verify_copies(stored.url).counts == {"ok": 2}
    erase_copy(stored.url, package, large, reason="asked for")
    assert verify_copies(stored.url).counts == {"ok": 1, "erased": 1}


def test_a_host_is_one_failure_domain_whatever_a_url_calls_it(stored: StoreChain) -> None:
    """The connection says where it leads; the URL's host is a name for people."""
    from airflow_provider_iinked.storage import open_store

    urls = [stored.url, stored.url.replace("@127.0.0.1/", "@another-name/")]
    assert {open_store(url).failure_domain(url) for url in urls} == {"sftp://127.0.0.1"}


def test_a_damaged_copy_is_quarantined_and_fetched_again(stored: StoreChain) -> None:
    package, (video,) = stored.package("video-1")
    stored.download(package)
    stored.put(package, "video-1.mp4", b"damaged")

    (copy,) = stored.download(package)

    assert copy["sha256"] == stored.sim.sha256(video)
    (aside,) = [name for name in stored.names(package) if name.startswith("video-1.mp4.set-aside-")]
    assert stored.get(package, aside) == b"damaged"


@pytest.mark.parametrize("size", [200_000, 9 * MIB])
def test_two_runs_at_once_end_with_one_verified_copy(stored: StoreChain, size: int) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": size})
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(stored.download(package))
        except StorageError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    done = [result for result in results if not isinstance(result, Exception)]
    assert len(results) == 2
    assert done, results
    assert all(result == done[0] for result in done)
    assert done[0][0]["sha256"] == stored.sim.sha256(video)
    assert verify_copies(stored.url).counts == {"ok": 1}
    assert stored.names(package) == ["video-1.custody.json", "video-1.mp4"]


def test_a_taken_name_is_refused_for_copies_records_and_renames(stored: StoreChain) -> None:
    store = stored.store()
    for name in ("v.mp4", "w.mp4"):
        stored.put("p", name, name.encode())
    upload = store.upload(f"{stored.url}/p/v.mp4", 3)
    upload.write(b"new")

    with pytest.raises(FileExistsError):
        upload.publish()
    upload.discard()
    with pytest.raises(FileExistsError):
        store.rename_no_replace(f"{stored.url}/p/v.mp4", f"{stored.url}/p/w.mp4")
    assert store.create_json(f"{stored.url}/p/v.mp4", {}) is False

    assert {name: stored.get("p", name) for name in stored.names("p")} == {"v.mp4": b"v.mp4", "w.mp4": b"w.mp4"}


def test_a_receipt_is_replaced_whole(stored: StoreChain) -> None:
    store, url = stored.store(), f"{stored.url}/p/v.deletion.json"
    for text in ("x" * 10, "y" * 500_000, "z"):
        store.replace_json(url, {"text": text}, durable=True)
        assert store.read_json(url) == (True, {"text": text})

    assert stored.names("p") == ["v.deletion.json"]


def test_a_name_is_never_read_as_a_pattern_or_as_a_command(stored: StoreChain) -> None:
    names = ["rec[12].mp4", "rec1.mp4", "a'b $(x);y.mp4", "a*.mp4"]
    for name in names:
        stored.put("p", name, name.encode())
    store = stored.store()

    store.remove(f"{stored.url}/p/a*.mp4")
    store.rename_no_replace(f"{stored.url}/p/rec[12].mp4", f"{stored.url}/p/moved.mp4")
    store.rename_no_replace(f"{stored.url}/p/a'b $(x);y.mp4", f"{stored.url}/p/odd.mp4")

    assert stored.names("p") == ["moved.mp4", "odd.mp4", "rec1.mp4"]


def test_what_an_upload_says_about_the_copy_is_what_a_look_says(stored: StoreChain) -> None:
    store, url = stored.store(), f"{stored.url}/p/v.mp4"
    upload = store.upload(url, 5)
    upload.write(b"bytes")

    assert upload.publish() == store.info(url)
    assert isinstance(store.info(url).modified, float)
