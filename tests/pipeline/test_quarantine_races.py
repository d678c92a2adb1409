"""Two runs at one place: what one has published anew is not what the other found wanting."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_iinked.download import existing_copy
from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError
from airflow_provider_iinked.storage import local, open_store
from airflow_provider_iinked.storage.fsspec_store import FsspecStore
from airflow_provider_iinked.storage.quarantine import quarantine
from airflow_provider_iinked.storage.url import check_destination


@pytest.fixture
def stale(chain):
    """A copy that was cut after it was proved."""
    chain.package("v", package_id="p")
    chain.download("p")
    path = chain.path("p", "v.mp4")
    path.write_bytes(path.read_bytes()[:-1])
    return chain


@pytest.fixture
def meanwhile_at(monkeypatch):
    """Let something happen while a run checks what is there for the first or the second time."""
    check, calls = existing_copy._check, []

    def let(number, act):
        def slow(*arguments):
            found = check(*arguments)
            calls.append(found)
            if len(calls) == number:
                monkeypatch.setattr(existing_copy, "_check", check)
                act()
            return found

        monkeypatch.setattr(existing_copy, "_check", slow)

    return let


def test_what_another_run_published_meanwhile_is_not_moved(stale, meanwhile_at):
    """The other run sets the same copy aside and publishes a new one while this run still judges."""
    meanwhile_at(2, lambda: stale.download("p"))
    with pytest.raises(StorageError, match="another run is writing to it"):
        stale.download("p")
    assert stale.path("p", "v.mp4").read_bytes() == stale.sim.content("v")
    record = json.loads(stale.path("p", "v.custody.json").read_text())
    assert record["sha256"] == stale.sim.sha256("v")
    (copy,) = stale.download("p")
    stale.delete(verified_copies=[copy])
    assert stale.ledger.deletions == ["v"]


def test_a_look_that_comes_out_otherwise_the_second_time_moves_nothing(stale, meanwhile_at):
    meanwhile_at(1, lambda: stale.path("p", "v.mp4").write_bytes(stale.sim.content("v")))
    with pytest.raises(StorageError, match="changed during the check"):
        stale.download("p")
    assert stale.names("p") == ["v.custody.json", "v.mp4"]


def test_what_changed_since_it_was_judged_is_left_alone(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"stale")
    store = open_store(f"file://{tmp_path}")
    seen = store.identity(f"file://{path}")
    path.unlink()
    path.write_bytes(b"newer")
    assert not quarantine(store, f"file://{path}", "it is stale", seen=seen)
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]


def test_a_file_has_a_name_at_every_moment_of_a_move(tmp_path, monkeypatch):
    """A run held up between two steps would take the only name of what another has put there; there is one step."""
    steps = []

    def watch(name, step):
        def watched(*arguments, **more):
            steps.append(name)
            return step(*arguments, **more)

        monkeypatch.setattr(local.os, name, watched)

    for name in ("rename", "replace", "link", "unlink", "remove"):
        watch(name, getattr(os, name))
    (tmp_path / "v.mp4").write_bytes(b"stale")
    open_store(f"file://{tmp_path}").rename_no_replace(f"file://{tmp_path}/v.mp4", f"file://{tmp_path}/aside")
    assert steps == ["rename"]
    assert (tmp_path / "aside").read_bytes() == b"stale"


def test_an_object_store_removes_nothing_that_changed_while_it_was_copied(etag_chain, monkeypatch, tmp_path):
    store = FsspecStore(f"etag:/{tmp_path}/v")  # the generic one: its rename is a copy and a removal
    (tmp_path / "v").write_bytes(b"stale")
    copy = type(store.fs).cp_file

    def slow(fs, *arguments, **more):
        copy(fs, *arguments, **more)
        (tmp_path / "v").write_bytes(b"newer")

    monkeypatch.setattr(type(store.fs), "cp_file", slow)
    with pytest.raises(StorageError, match="changed while it was moved"):
        store.rename_no_replace(f"etag:/{tmp_path}/v", f"etag:/{tmp_path}/aside")
    assert (tmp_path / "v").read_bytes() == b"newer"


def test_a_receipt_and_its_name_are_synced_before_the_request(chain, monkeypatch):
    chain.package("v", package_id="p")
    copies = chain.download("p")
    synced = []
    monkeypatch.setattr(local, "sync", lambda paths: synced.extend(paths))
    chain.delete(verified_copies=copies)
    folder = chain.path("p")
    assert {str(folder), str(folder.parent), str(folder.parent.parent), str(folder / "v.mp4")} <= set(synced)
    assert synced.count(str(folder.parent)) == 1, "the folders above are synced once a task"


@pytest.mark.parametrize(
    "url",
    [
        "abfs://c/prefix?sv=2024&sig=SECRET",
        "s3://bucket/x#SECRET",
        "ftp://user:SECRET@host/{{ no }}",
        "abfs://c/x?SECRET/../y",
    ],
)
def test_a_refused_destination_is_reported_without_its_secrets(url):
    with pytest.raises(InvalidArgumentError) as caught:
        check_destination(url)
    assert "SECRET" not in str(caught.value)
    assert url[:6] in str(caught.value)
