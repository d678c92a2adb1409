"""What a download does with what lies there already, with others at the same time, and with its options."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.download.publication import Publisher
from airflow_provider_iinked.download.request import parse_download_request
from airflow_provider_iinked.download.workflow import download_videos
from airflow_provider_iinked.exceptions import NotArchivedError, RecordingDeletedError, StorageError, VerificationError
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from airflow_provider_iinked.simulator import Fault
from tests.servers.threads import at_once


@pytest.fixture
def one(any_chain):
    any_chain.package("v", package_id="p")
    return any_chain


def fetched(chain):
    return len(chain.ledger.requests(host="recordings"))


def aside(chain, package="p"):
    return [name for name in chain.names(package) if "set-aside" in name]


# --- what lies there --------------------------------------------------------------------------------------------------


def test_a_whole_copy_is_kept_without_fetching_it_again(one):
    first = one.download("p")
    assert one.download("p") == first
    assert fetched(one) == 1


def test_a_copy_with_a_validator_is_kept_without_reading_it(etag_chain, monkeypatch):
    etag_chain.package("v", package_id="p")
    first = etag_chain.download("p")
    monkeypatch.setattr("airflow_provider_iinked.storage.base.Store.sha256", None)
    assert etag_chain.download("p") == first


def test_a_copy_whose_time_alone_changed_is_read_and_kept(chain):
    chain.package("v", package_id="p")
    first = chain.download("p")
    os.utime(chain.path("p", "v.mp4"), (1, 1))
    assert chain.download("p") == first
    assert aside(chain) == []


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_a_copy_that_no_longer_agrees_is_quarantined_and_fetched_again(one, damage, caplog):
    one.download("p")
    path = one.path("p", "v.mp4")
    if damage == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    (copy,) = one.download("p")
    assert (copy["sha256"], fetched(one)) == (one.sim.sha256("v"), 2)
    assert len(aside(one)) == (1 if damage == "gone" else 2)
    assert "Quarantined" in caplog.text


def test_a_record_that_cannot_be_read_is_quarantined_and_written_again(one, paper):
    one.download("p")
    one.path("p", "v.custody.json").write_text("{")
    one.download("p")
    assert paper(one.path("p", "v.custody.json"))["sha256"] == one.sim.sha256("v")
    assert len(aside(one)) == 1


@pytest.mark.parametrize("changes", [{"api_base": "https://sign.syngrafii.com/api/v1"}, {"format": 2}])
def test_another_data_centres_record_is_left_alone(one, paper, changes):
    one.download("p")
    paper(one.path("p", "v.custody.json"), **changes)
    before = {name: one.path("p", name).read_bytes() for name in one.names("p")}
    with pytest.raises(VerificationError, match="of another origin"):
        one.download("p")
    assert {name: one.path("p", name).read_bytes() for name in one.names("p")} == before


def test_a_recording_that_changed_at_the_source_is_fetched_again(one):
    one.download("p")
    one.sim.change_content("v")
    one.sim.set_fields("p", "v", duration="PT7S")
    (copy,) = one.download("p")
    assert copy["sha256"] == one.sim.sha256("v")
    assert len(aside(one)) == 2


def test_a_copy_without_a_record_of_the_very_same_bytes_is_kept(one):
    one.path("p").mkdir(parents=True)
    one.path("p", "v.mp4").write_bytes(one.sim.content("v"))
    one.download("p")
    assert one.names("p") == ["v.custody.json", "v.mp4"]


def test_a_file_without_a_record_of_other_bytes_is_quarantined(one):
    one.path("p").mkdir(parents=True)
    one.path("p", "v.mp4").write_bytes(b"something of the user's own")
    one.download("p")
    (name,) = aside(one)
    assert one.path("p", name).read_bytes() == b"something of the user's own"
    assert one.path("p", "v.mp4").read_bytes() == one.sim.content("v")


# --- gone at the source -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [True, False], ids=["listed as deleted", "dropped from the list"])
@pytest.mark.parametrize("ids", ["*", ["v"], ["V"]])
def test_what_is_deleted_at_the_source_is_done_when_its_copy_is_whole(one, listed, ids):
    first = one.download("p")
    one.sim.quirks.list_deleted = listed
    one.sim.set_state("p", "v", "deleted")
    assert one.download("p", meeting_video_ids=ids) == first


@pytest.mark.parametrize("listed", [True, False], ids=["listed as deleted", "dropped from the list"])
@pytest.mark.parametrize("damage", ["copy gone", "copy cut", "record edited"])
def test_what_is_deleted_at_the_source_and_not_whole_here_is_an_error_and_left_as_it_is(one, listed, damage, paper):
    one.download("p")
    one.sim.quirks.list_deleted = listed
    one.sim.set_state("p", "v", "deleted")
    if damage == "record edited":
        paper(one.path("p", "v.custody.json"), sha256="0" * 64, validator=None, modified=None)
    else:
        path = one.path("p", "v.mp4")
        path.unlink() if damage == "copy gone" else path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VerificationError, match="is not verified"):
        one.download("p", meeting_video_ids=["v"])
    assert aside(one) == []
    assert one.download("p", meeting_video_ids=["v"], allow_partial=True) == []


@pytest.mark.parametrize(("listed", "error"), [(True, RecordingDeletedError), (False, NotArchivedError)])
def test_what_is_gone_at_the_source_without_a_copy_is_an_error_for_a_selected_id_only(one, listed, error, caplog):
    one.sim.quirks.list_deleted = listed
    one.sim.set_state("p", "v", "deleted")
    with pytest.raises(error, match="there is no copy"):
        one.download("p", meeting_video_ids=["v"])
    assert one.download("p") == []
    assert one.download("p", meeting_video_ids=["v"], allow_partial=True) == []
    assert "ERROR" in caplog.text


# --- not archived -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["started", "stopped", "queued", "failed", "unheard"])
def test_without_ids_what_is_not_archived_is_left_for_another_day(one, state):
    one.sim.add_video("p", "w", state=state)
    assert [copy["meeting_video_id"] for copy in one.download("p")] == ["v"]


@pytest.mark.parametrize("missing", ["w", "nowhere"])
def test_a_selected_recording_that_is_not_archived_fails_after_the_others_are_copied(one, missing):
    one.sim.add_video("p", "w", state="queued")
    with pytest.raises(NotArchivedError, match=f"{missing}: .*Copied and verified: v"):
        one.download("p", meeting_video_ids=[missing, "v"])
    assert one.names("p") == ["v.custody.json", "v.mp4"]
    partial = one.download("p", meeting_video_ids=[missing, "v"], allow_partial=True)
    assert [copy["meeting_video_id"] for copy in partial] == ["v"]


@pytest.mark.parametrize("empty", ["list", "null", "missing"])
def test_a_package_without_videos_gives_nothing(chain, empty):
    chain.package(package_id="p")
    chain.sim.quirks.empty_list = empty
    assert chain.download("p") == []


def test_an_unknown_package_fails_for_good(chain):
    with pytest.raises(exceptions.PackageNotFoundError):
        chain.download("nowhere")


def test_copies_come_in_the_order_of_the_ids(one):
    for video in ("a", "z", "b"):
        one.sim.add_video("p", video)
    asked = ["z", "v", "b", "a"]
    assert [copy["meeting_video_id"] for copy in one.download("p", meeting_video_ids=asked)] == asked


# --- options ----------------------------------------------------------------------------------------------------------


def test_package_fields_are_kept_in_the_record(chain, paper):
    chain.package("v", package_id="p", name="Closing 7", matterNumber="M-1", externalData={"deal": 9})
    chain.download("p", package_fields=["name", "matterNumber", "externalData", "nothingLikeThis"])
    assert paper(chain.path("p", "v.custody.json"))["package_fields"] == {
        "name": "Closing 7",
        "matterNumber": "M-1",
        "externalData": {"deal": 9},
        "nothingLikeThis": None,
    }


@pytest.mark.parametrize("fields", [["meetings"], ["documents"]])
def test_a_package_field_that_may_hold_links_is_refused(chain, fields):
    chain.package("v", package_id="p", documents=[{"url": "https://x/y?secret=1"}])
    with pytest.raises(exceptions.InvalidArgumentError, match="no plain value"):
        chain.download("p", package_fields=fields)


@pytest.mark.parametrize("value", ["name", [5], [""], None])
def test_package_fields_are_a_list_of_names(chain, value):
    with pytest.raises(exceptions.InvalidArgumentError, match="package_fields"):
        chain.download("p", package_fields=value)
    assert chain.ledger.requests() == []


@pytest.mark.parametrize(("name", "value"), [("max_parallel", 0), ("check_size", "False"), ("allow_partial", "no")])
def test_options_of_the_wrong_type_are_refused(chain, name, value):
    with pytest.raises(exceptions.InvalidArgumentError, match=f"^{name}"):
        chain.download("p", **{name: value})


def test_no_more_are_fetched_at_a_time_than_allowed(chain):
    chain.package(*"abcdef", package_id="p")
    chain.sim.quirks.recording_rate = 1_000_000
    running, most = [0], [0]
    lock = threading.Lock()
    from airflow_provider_iinked.download.recording import RecordingCopy

    really = RecordingCopy.download

    def run(self, url):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        try:
            return really(self, url)
        finally:
            with lock:
                running[0] -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordingCopy, "download", run)
        assert len(chain.download("p", max_parallel=3)) == 6
    assert most[0] == 3


def test_a_disk_that_takes_no_copy_is_an_error_of_storage(chain):
    chain.package("v", package_id="p")
    chain.folder.parent.joinpath("file").write_text("no folder")
    with pytest.raises(StorageError):
        chain.download("p", destination=f"file://{chain.folder.parent}/file")


def test_a_scheme_without_a_store_is_refused_before_any_request(chain):
    with pytest.raises(exceptions.InvalidArgumentError, match="gopher9"):
        chain.download("p", destination="gopher9://bucket/x")
    assert chain.ledger.requests() == []


# --- others at the same time ------------------------------------------------------------------------------------------


def test_runs_of_the_same_package_at_the_same_time_agree_on_one_copy(one):
    one.sim.add_video("p", "w")
    one.sim.quirks.recording_rate = 400_000
    request = parse_download_request(package_id="p", destination=one.destination, meeting_video_ids="*")
    # Airflow 2.11 executes operators in the main thread only; this is all that the operator does.
    results = at_once(lambda: download_videos(IinkedSignHook(), request), 4)
    assert not [result for result in results if isinstance(result, Exception)]
    assert all(result == results[0] for result in results)
    assert {copy.sha256 for copy in results[0]} == {one.sim.sha256("v"), one.sim.sha256("w")}
    assert one.names("p") == ["v.custody.json", "v.mp4", "w.custody.json", "w.mp4"]


SCRIPT = """
import json, sys
from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator
task = IinkedDownloadVideosOperator(task_id="download", package_id="p", destination=sys.argv[1])
print("RESULT" + json.dumps(task.execute({})))
"""


def test_processes_that_copy_the_same_package_at_the_same_time_agree_on_one_copy(chain):
    chain.package("v", "w", package_id="p")
    chain.sim.quirks.recording_rate = 100_000
    command = [sys.executable, "-c", SCRIPT, chain.destination]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    results = [json.loads(output.partition("RESULT")[2].splitlines()[0]) for output in outputs]
    assert results[0] == results[1]
    assert chain.names("p") == ["v.custody.json", "v.mp4", "w.custody.json", "w.mp4"]


def test_a_first_run_whose_copy_is_not_verified_is_not_taken_for_done(chain, monkeypatch, paper):
    """Another run wins the race with a record that does not fit its copy."""
    chain.package("v", package_id="p")
    really = Publisher.publish

    def publish(self, *copy, **options):
        chain.download("p")
        paper(chain.path("p", "v.custody.json"), sha256="0" * 64)
        monkeypatch.setattr(Publisher, "publish", really)
        return really(self, *copy, **options)

    def once(self, *copy, **options):
        monkeypatch.setattr(Publisher, "publish", really)
        return publish(self, *copy, **options)

    monkeypatch.setattr(Publisher, "publish", once)
    with pytest.raises(VerificationError, match="does not agree with its record"):
        chain.download("p")


# --- litter -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "age", "kept"),
    [
        ("v.adhoc-0123abcd.part", 0, False),
        ("v.ffff0000ffff0000-0123abcd.part", 0, True),
        ("v.ffff0000ffff0000-0123abcd.part", 90_000, False),
        ("v.mp4.something-else", 90_000, True),
    ],
)
def test_temporary_files_of_this_run_and_strangers_of_yesterday_are_removed(chain, name, age, kept):
    chain.package("v", package_id="p")
    chain.path("p").mkdir(parents=True)
    litter = chain.path("p", name)
    litter.write_bytes(b"x")
    os.utime(litter, (time.time() - age, time.time() - age))
    chain.download("p")
    assert litter.exists() is kept


def test_a_temporary_file_that_is_being_written_is_not_removed(chain):
    chain.package("v", package_id="p")
    chain.path("p").mkdir(parents=True)
    path = chain.path("p", "v.adhoc-0123abcd.part")
    with open(path, "wb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        chain.download("p")
        assert path.exists()


def test_a_run_that_is_broken_off_publishes_nothing_and_the_next_cleans_up(one, monkeypatch):
    class Killed(BaseException):
        pass

    def die(self, *copy, **options):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Publisher, "publish", die)
        with pytest.raises(Killed):
            one.download("p")
    assert not one.path("p", "v.mp4").exists()
    one.download("p")
    assert one.path("p", "v.mp4").read_bytes() == one.sim.content("v")


def test_a_broken_transfer_leaves_nothing_behind(one):
    one.sim.faults.add(Fault(call="recording", kind="cut", after=50_000))
    one.sim.faults.add(Fault(call="recording", kind="reset", on=range(2, 99)))
    with pytest.raises(exceptions.TransferError):
        one.download("p")
    assert one.names("p") == []
