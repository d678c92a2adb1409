"""Several packages in one task, several copies of a recording, and copies that were moved."""

from __future__ import annotations

import json
import logging
import shutil

import pytest

from airflow_provider_iinked import exceptions, progress
from airflow_provider_iinked.simulator import Fault
from airflow_provider_iinked.storage.local import LocalStore


@pytest.fixture
def five(chain):
    """Five packages with two recordings each, copied."""
    copies = []
    for name in ("p1", "p2", "p3", "p4", "p5"):
        package, _ = chain.package(f"{name}-a", f"{name}-b", package_id=name)
        copies.append(chain.download(package))
    chain.ledger.clear()
    return chain, copies


def names(*packages):
    return sorted(f"{package}-{video}" for package in packages for video in "ab")


def test_copies_of_several_packages_are_deleted_and_the_responses_come_in_their_order(five):
    chain, copies = five
    responses = chain.delete(verified_copies=copies)
    assert [response["packageId"] for response in responses] == ["p1", "p2", "p3", "p4", "p5"]
    assert sorted(chain.ledger.deletions) == names("p1", "p2", "p3", "p4", "p5")
    assert [v["meetingVideoId"] for v in responses[1]["videos"]] == [c["meeting_video_id"] for c in copies[1]]


def test_each_package_is_listed_once_before_and_once_after(five):
    chain, copies = five
    chain.delete(verified_copies=copies)
    assert len(chain.ledger.requests(call="list")) == 10
    assert chain.ledger.sockets() == 1


def test_one_package_in_a_list_gives_a_list(five):
    chain, copies = five
    (response,) = chain.delete(package_id=["p1"], verified_copies=copies[0])
    assert response["packageId"] == "p1"


def test_an_empty_list_of_packages_deletes_nothing(five):
    chain, _ = five
    assert chain.delete(package_id=[], delete_all=True) == []
    assert chain.ledger.requests() == []


def test_a_package_that_fails_holds_up_no_other_one_and_a_retry_does_only_that(five):
    chain, copies = five
    chain.path("p2", "p2-a.mp4").write_bytes(b"bad")
    retention = {"error": "package_delete_retention", "message": "A policy forbids it."}
    chain.sim.faults.add(Fault(call="delete", kind="status", status=400, body=retention, video_id="p3-a", on="always"))
    chain.sim.set_state("p4", "p4-b", "started")
    unknown = [{**copy, "package_id": "p9"} for copy in copies[4]]
    for copy in unknown:
        for key in ("uri", "custody_uri"):
            copy[key] = copy[key].replace("/p5/", "/p9/")
    with pytest.raises(exceptions.IinkedSignError) as caught:
        chain.delete(verified_copies=[*copies[:4], unknown, copies[4]])
    said = str(caught.value)
    for words in ("Package p2: ", "p2-a: ", "Package p3: ", "p3-a: ", "Package p4: ", "p4-b (started)", "Package p9: "):
        assert words in said
    assert "2 of 6 packages have no error" in said
    assert sorted(chain.ledger.deletions) == sorted([*names("p1", "p5"), "p2-b", "p3-b"])

    chain.sim.faults.clear()
    chain.sim.set_state("p4", "p4-b", "archived")
    chain.ledger.clear()
    with pytest.raises(exceptions.VerificationError, match="p2-a"):
        chain.delete(verified_copies=copies)
    assert sorted(chain.ledger.deletions) == ["p3-a", "p4-a", "p4-b"]


@pytest.mark.parametrize(
    "fault", [{"status": 401}, {"status": 503}, {"status": 429, "headers": {"Retry-After": "900"}}]
)
def test_what_concerns_the_service_ends_the_task_for_all_packages(five, fault):
    chain, copies = five
    chain.sim.faults.add(Fault(call="delete", kind="status", video_id="p2-a", on="always", **fault))
    with pytest.raises(exceptions.IinkedSignError, match="Package p1: Deleted by this task: p1-"):
        chain.delete(verified_copies=copies)
    assert not {request.video_id for request in chain.ledger.delete_requests} & set(names("p3", "p4", "p5"))


def test_an_answer_that_names_what_was_not_requested_stops_all_packages(five):
    chain, copies = five
    chain.sim.faults.add(Fault(call="delete", kind="delete_all_instead", video_id="p2-a"))
    with pytest.raises(exceptions.UnrequestedDeletionError, match="p2-b"):
        chain.delete(verified_copies=copies)
    assert not {request.video_id for request in chain.ledger.delete_requests} & set(names("p3", "p4", "p5"))


def test_delete_all_of_several_packages(five):
    chain, _ = five
    chain.delete(package_id=["p1", "p3"], delete_all=True)
    assert sorted(chain.ledger.deletions) == names("p1", "p3")
    assert all(record.by_id for record in chain.ledger.deletion_records)


def test_a_preview_of_several_packages_sends_nothing(five):
    chain, copies = five
    responses = chain.delete(verified_copies=copies, preview=True)
    assert [response["preview"] for response in responses] == [True] * 5
    assert chain.ledger.delete_requests == []


def test_every_ten_seconds_a_line_says_how_far_the_batch_is(five, monkeypatch, caplog):
    chain, copies = five
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    caplog.set_level(logging.INFO)
    chain.delete(verified_copies=copies)
    lines = [line for line in caplog.messages if " of 5 packages, " in line]
    assert len(lines) == 15  # a line after each recording, and after each package
    assert lines[-1].startswith("5 of 5 packages, 10 recordings done; 1.9 MiB of copies verified, ")
    assert lines[-1].endswith("about 0 s left")


def test_between_two_lines_about_the_batch_lie_ten_seconds(five, monkeypatch, caplog):
    chain, copies = five
    monkeypatch.setattr(progress, "INTERVAL", 3600.0)
    caplog.set_level(logging.INFO)
    chain.delete(verified_copies=copies)
    assert not [line for line in caplog.messages if " of 5 packages, " in line]


def test_a_package_that_fails_is_logged_when_it_fails(five, caplog):
    chain, copies = five
    missing = {"error": "package_not_found", "message": "No such package."}
    chain.sim.faults.add(Fault(call="list", kind="status", status=404, body=missing, package_id="p2", on="always"))
    caplog.set_level(logging.INFO)
    with pytest.raises(exceptions.PackageNotFoundError):
        chain.delete(verified_copies=copies, max_parallel=1)
    failed = next(number for number, line in enumerate(caplog.messages) if line.startswith("Package p2: "))
    assert [line for line in caplog.messages[failed:] if line.startswith("Video p5-b: deleted")]


# --- several copies ---------------------------------------------------------------------------------------------------


@pytest.fixture
def twice(chain, tmp_path):
    """One recording, copied to two folders; each record names the other copy."""
    package, (video,) = chain.package({})
    other = tmp_path / "other"
    first = chain.download(package)
    second = chain.download(package, destination=f"file://{other}")
    for path, copy in ((chain.folder, second), (other, first)):
        record = path / package / f"{video}.custody.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "copies": [copy[0]["uri"]]}))
    chain.ledger.clear()
    return chain, package, video, first + second, other


def test_a_receipt_lies_beside_each_copy_and_names_both(twice):
    chain, package, video, copies, other = twice
    chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == [video]
    for folder in (chain.folder, other):
        receipt = json.loads((folder / package / f"{video}.deletion.json").read_text())
        assert receipt["status"] == "deleted"
        assert receipt["proof"]["uri"].startswith(f"file://{folder}/")
        assert [proof["uri"] for proof in receipt["proof"]["copies"]] == [copy["uri"] for copy in copies]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("given", [0, 1, 2], ids=["both given", "first given", "second given"])
def test_every_copy_that_a_record_promises_must_be_whole(twice, which, given):
    chain, package, video, copies, other = twice
    ((chain.folder, other)[which] / package / f"{video}.mp4").write_bytes(b"bad")
    with pytest.raises(exceptions.VerificationError, match="not verified"):
        chain.delete(verified_copies=[copies, copies[:1], copies[1:]][given])
    assert chain.ledger.delete_requests == []


def test_a_third_copy_that_a_record_promises_must_be_whole_although_two_are_given(twice, tmp_path):
    chain, package, video, copies, other = twice
    third = chain.download(package, destination=f"file://{tmp_path}/third")
    record = other / package / f"{video}.custody.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "copies": [third[0]["uri"]]}))
    (tmp_path / "third" / package / f"{video}.mp4").write_bytes(b"bad")
    with pytest.raises(exceptions.VerificationError, match="third"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


GONE = pytest.mark.parametrize("was", ["file:///no/such/place/p/v.mp4", "gone://bucket/p/v.mp4"])


@GONE
def test_a_promised_copy_that_is_not_at_its_old_place_counts_as_moved_where_enough_are_given(twice, was, monkeypatch):
    chain, package, video, copies, other = twice
    monkeypatch.setattr(LocalStore, "failure_domain", lambda self, url: "other" if str(other) in url else "first")
    record = other / package / f"{video}.custody.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "copies": [was]}))
    chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == [video]


@GONE
def test_a_second_copy_in_the_same_failure_domain_does_not_stand_for_the_promised_one(twice, was):
    chain, package, video, copies, other = twice
    record = other / package / f"{video}.custody.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "copies": [was]}))
    with pytest.raises(exceptions.VerificationError, match="not verified"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


def test_copies_on_one_disk_are_one_failure_domain(twice):
    chain, _, _, copies, _ = twice
    with pytest.raises(exceptions.VerificationError, match="1 failure domains, min_copies is 2"):
        chain.delete(verified_copies=copies, min_copies=2)
    assert chain.ledger.delete_requests == []


def test_a_receipt_that_one_store_does_not_take_keeps_the_recording(twice):
    chain, package, video, copies, other = twice
    (other / package / f"{video}.deletion.json").mkdir()
    with pytest.raises(exceptions.StorageError):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
    receipt = json.loads(chain.path(package, f"{video}.deletion.json").read_text())
    assert receipt["status"] == "withdrawn"


# --- moved copies -----------------------------------------------------------------------------------------------------


def moved(chain, copies, target):
    """Move the whole folder of copies, and give the XCom that a download would return then."""
    shutil.move(chain.folder, target)
    return [
        {**copy, **{key: copy[key].replace(str(chain.folder), str(target)) for key in ("uri", "custody_uri")}}
        for copy in copies
    ]


@pytest.mark.parametrize("recheck", ["sha256", "metadata"])
def test_copies_that_were_moved_as_a_whole_are_judged_by_where_they_lie_now(chain, tmp_path, recheck):
    package, videos = chain.package({}, {})
    target = tmp_path / "moved"
    copies = moved(chain, chain.download(package), target)
    chain.delete(verified_copies=copies, recheck=recheck)
    assert sorted(chain.ledger.deletions) == sorted(videos)
    receipt = json.loads((target / package / f"{videos[0]}.deletion.json").read_text())
    assert receipt["proof"]["uri"] == f"file://{target}/{package}/{videos[0]}.mp4"


def test_an_xcom_of_the_old_place_deletes_nothing(chain, tmp_path):
    package, _ = chain.package({})
    copies = chain.download(package)
    moved(chain, copies, tmp_path / "moved")
    with pytest.raises(exceptions.VerificationError, match="custody record is gone"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


def test_a_record_that_names_another_file_name_keeps_its_recording(chain):
    package, (video,) = chain.package({})
    copies = chain.download(package)
    record = chain.path(package, f"{video}.custody.json")
    found = json.loads(record.read_text())
    record.write_text(json.dumps({**found, "uri": found["uri"].replace(".mp4", ".webm")}))
    with pytest.raises(exceptions.VerificationError, match="disagree on uri"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
