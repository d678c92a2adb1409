"""Several destinations: one read of the source, whole copies at each, and what happens when a store is slow or dead."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.download import writers
from airflow_provider_iinked.simulator import Fault
from airflow_provider_iinked.storage import register_store
from airflow_provider_iinked.storage.local import LocalStore, LocalUpload
from airflow_provider_iinked.storage.registry import _stores
from airflow_provider_iinked.storage.url import failure_domain


class SecondStore(LocalStore):
    """Another store: the local disk under a scheme of its own."""

    write = None
    """What an upload does with each chunk before it writes it."""
    publish = None

    def __init__(self, url, token):
        super().__init__("file:///", token)

    def path(self, url):
        return "/" + url.partition("://")[2].partition("/")[2]

    def failure_domain(self, url):
        return failure_domain(url)

    def _start_upload(self, url, size):
        return SecondUpload(self, url, size)


class SecondUpload(LocalUpload):
    def write(self, data):
        if SecondStore.write:
            SecondStore.write()
        super().write(data)

    def publish(self):
        if SecondStore.publish:
            SecondStore.publish()
        return super().publish()


@pytest.fixture
def two(chain, tmp_path):
    register_store("second", SecondStore)
    SecondStore.write = SecondStore.publish = None
    chain.package("v", package_id="p")

    class Two:
        sim, ledger, names, path, folder = chain.sim, chain.ledger, chain.names, chain.path, chain.folder
        second = tmp_path / "second"
        urls = (chain.destination, f"second://bucket{tmp_path}/second")

        @staticmethod
        def download(package_id="p", **arguments):
            return chain.download(package_id, **{"destination": list(Two.urls), **arguments})

        @staticmethod
        def second_names(package_id="p"):
            folder = Two.second / package_id
            return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    yield Two
    SecondStore.write = SecondStore.publish = None
    _stores.pop("second")


def test_the_source_is_read_once_and_every_destination_has_the_whole_copy(two):
    copies = two.download()
    assert [copy["uri"] for copy in copies] == [f"{url}/p/v.mp4" for url in two.urls]
    assert {copy["sha256"] for copy in copies} == {two.sim.sha256("v")}
    assert len(two.ledger.requests(host="recordings")) == 1
    assert two.names("p") == two.second_names() == ["v.custody.json", "v.mp4"]
    assert (two.second / "p" / "v.mp4").read_bytes() == two.sim.content("v")


def test_each_record_names_the_other_copies(two):
    first, second = (copy["uri"] for copy in two.download())
    records = [
        json.loads(path.read_text()) for path in (two.path("p", "v.custody.json"), two.second / "p/v.custody.json")
    ]
    assert [record["copies"] for record in records] == [[second], [first]]
    assert [record["uri"] for record in records] == [first, second]


def test_one_destination_in_a_list_is_one_destination(two):
    (copy,) = two.download(destination=[two.urls[0]])
    assert "copies" not in json.loads(two.path("p", "v.custody.json").read_text())
    assert copy["uri"] == f"{two.urls[0]}/p/v.mp4"


def test_a_second_run_keeps_both(two):
    first = two.download()
    assert two.download() == first
    assert len(two.ledger.requests(host="recordings")) == 1


def test_a_destination_that_is_added_later_gets_its_copy_and_the_first_stays_as_it_is(two):
    two.download(destination=two.urls[0])
    before = two.path("p", "v.custody.json").read_bytes()
    copies = two.download()
    assert [copy["uri"] for copy in copies] == [f"{url}/p/v.mp4" for url in two.urls]
    assert two.path("p", "v.custody.json").read_bytes() == before
    assert json.loads((two.second / "p/v.custody.json").read_text())["copies"] == [copies[0]["uri"]]


@pytest.mark.parametrize("at", ["write", "publish"])
def test_a_store_that_fails_fails_the_recording_and_the_whole_copy_elsewhere_stays_for_the_retry(two, at):
    def full():
        raise OSError(28, "no")

    setattr(SecondStore, at, staticmethod(full))
    with pytest.raises(
        exceptions.StorageError, match=r"(?s)no copy at second://.*No space left.*Whole copies.*file://"
    ) as caught:
        two.download()
    assert "v.mp4" in str(caught.value)
    assert two.names("p") == ["v.custody.json", "v.mp4"]
    assert two.second_names() == []
    setattr(SecondStore, at, None)
    assert len(two.download()) == 2
    assert two.second_names() == ["v.custody.json", "v.mp4"]
    assert len(two.ledger.requests(host="recordings")) == 2


def test_a_store_that_takes_nothing_is_given_up_and_the_others_go_on(two, monkeypatch):
    monkeypatch.setattr(writers, "STALL_TIMEOUT", 1.5)
    two.sim.add_video("p", "w", size=30 << 20)
    release = threading.Event()
    SecondStore.write = staticmethod(lambda: release.wait(120))
    started = time.monotonic()
    with pytest.raises(exceptions.StorageError, match="took nothing for"):
        two.download()
    assert time.monotonic() - started < 60
    assert "w.mp4" in two.names("p")
    release.set()
    until = time.monotonic() + 60
    while two.second_names() and time.monotonic() < until:
        time.sleep(0.05)
    assert two.second_names() == []


def test_a_slow_store_is_waited_for_within_its_buffer(two):
    """It takes each chunk late, but takes it: the copy is made, and no more than its buffer is held for it."""
    two.sim.add_video("p", "w", size=24 << 20)
    SecondStore.write = staticmethod(lambda: time.sleep(0.01))
    assert len(two.download()) == 4
    assert (two.second / "p" / "w.mp4").stat().st_size == 24 << 20


def test_when_no_destination_takes_the_copy_the_download_ends_at_once(two):
    two.sim.add_video("p", "w", size=30 << 20)

    def full():
        raise OSError(28, "no")

    SecondStore.write = staticmethod(full)
    with pytest.raises(exceptions.StorageError, match=r"No destination|no copy at"):
        two.download(destination=[two.urls[1], f"second://other{two.second}/other"])
    assert two.second_names() == []


def test_copies_that_do_not_agree_are_never_made(two):
    """The source changed without a change in its list: the second copy would differ from the first."""
    two.download(destination=two.urls[0])
    two.sim.change_content("v")
    with pytest.raises(exceptions.VerificationError, match="other bytes than the verified copy"):
        two.download()
    assert two.second_names() == []
    assert two.names("p") == ["v.custody.json", "v.mp4"]


def test_a_recording_that_is_gone_is_done_only_when_every_destination_has_it(two):
    two.download()
    two.sim.set_state("p", "v", "deleted")
    assert len(two.download()) == 2
    os.unlink(two.second / "p" / "v.custody.json")
    with pytest.raises(exceptions.RecordingDeletedError, match="no copy at second://"):
        two.download(meeting_video_ids="v")


def test_a_broken_transfer_goes_on_for_every_destination(two):
    two.sim.faults.add(Fault(call="recording", kind="cut", after=100_000))
    assert len(two.download()) == 2
    assert (two.second / "p" / "v.mp4").read_bytes() == two.sim.content("v")


def test_a_transfer_that_starts_over_starts_over_everywhere(two):
    two.sim.quirks.accept_ranges = False
    two.sim.faults.add(Fault(call="recording", kind="cut", after=100_000))
    assert len(two.download()) == 2
    assert (two.second / "p" / "v.mp4").read_bytes() == two.sim.content("v")
    assert two.names("p") == two.second_names() == ["v.custody.json", "v.mp4"]


@pytest.mark.parametrize("kind", ["reset", "cut"])
def test_a_download_that_fails_leaves_nothing_anywhere(two, kind):
    two.sim.faults.add(Fault(call="recording", kind=kind, after=50_000, on="always"))
    two.sim.quirks.accept_ranges = False
    with pytest.raises(exceptions.TransferError):
        two.download()
    assert two.names("p") == two.second_names() == []


def _linked(two):
    """Another name of a folder on the same disk."""
    two.second.mkdir(exist_ok=True)
    link = two.second.with_name("link")
    if not link.exists():
        link.symlink_to(two.second, target_is_directory=True)
    return f"file://{link}"


@pytest.mark.parametrize(
    "destination",
    [
        lambda two: [two.urls[0], f"{two.urls[0]}/sub"],
        lambda two: [two.urls[1], "second://conn@bucket/elsewhere"],
        lambda two: [two.urls[0], two.urls[0]],
        lambda two: [two.urls[1], "second://other@BUCKET/elsewhere/"],
        lambda two: [two.urls[0], _linked(two)],
        lambda two: [two.urls[0], f"{_linked(two)}/not/there/yet/"],
    ],
)
def test_two_destinations_in_one_failure_domain_are_refused_before_any_request(two, destination):
    with pytest.raises(exceptions.InvalidArgumentError, match="one failure domain"):
        two.download(destination=destination(two))
    assert two.ledger.requests() == []


def test_an_empty_list_of_destinations_is_refused(two):
    with pytest.raises(exceptions.InvalidArgumentError, match="empty list"):
        two.download(destination=[])
    assert two.ledger.requests() == []


def test_a_path_object_is_refused_when_the_dag_is_parsed(tmp_path):
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    for destination in (tmp_path, [tmp_path]):
        with pytest.raises(exceptions.InvalidArgumentError, match="URL as text"):
            IinkedDownloadVideosOperator(task_id="x", package_id="p", destination=destination)


def test_a_store_that_cannot_lock_is_refused_before_any_request(two):
    with pytest.raises(exceptions.InvalidArgumentError, match="cannot lock"):
        two.download(retain_for="P10Y")
    assert two.ledger.requests() == []
