"""The guarded path: what is not proved a moment before is kept, and the others are deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_iinked.exceptions import StateNotAllowedError, StorageError, VerificationError

RECHECKS = ["sha256", "metadata"]


def change_one_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    times = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


COPIES = {
    "gone": Path.unlink,
    "cut by a byte": cut,
    "one byte changed": change_one_byte,
    "one byte longer": lengthen,
    "empty": lambda path: path.write_bytes(b""),
    "another video": lambda path: path.write_bytes(os.urandom(200_000)),
}
RECORDS = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "no JSON": lambda path: path.write_text("{"),
    "no object": lambda path: path.write_text("[]"),
    "an empty object": lambda path: path.write_text("{}"),
    "binary": lambda path: path.write_bytes(b"\xff\xfe\x00"),
}
FIELDS = {
    "another format": {"format": 2},
    "no format": {"format": None},
    "format as text": {"format": "1"},
    "another API": {"api_base": "https://sign.syngrafii.com/api/v1"},
    "no API": {"api_base": None},
    "another package": {"package_id": "other"},
    "another id": {"meeting_video_id": "other"},
    "another place": {"uri": "file:///elsewhere/p/v.mp4"},
    "another size": {"size": 199_999},
    "size as text": {"size": "200000"},
    "another hash": {"sha256": "0" * 64},
    "no hash": {"sha256": None},
    "no listing": {"video": None},
    "an empty listing": {"video": {}},
}
LISTED = {
    "size": 200_001,
    "timeCreated": "2001-01-01T00:00:00Z",
    "duration": "PT7S",
    "meetingId": "00000000-0000-4000-8000-000000000000",
}


@pytest.fixture(params=RECHECKS)
def recheck(request):
    return request.param


@pytest.fixture
def copied(any_chain):
    """Three recordings, copied; the second one is the one that something happens to."""
    package, videos = any_chain.package({}, {}, {})
    return any_chain, package, videos, any_chain.download(package)


def kept_alone(copied, recheck, error=VerificationError, **arguments):
    """The second one is kept, the error names it and says why; the others are deleted."""
    chain, package, (first, second, third), copies = copied
    with pytest.raises(error) as caught:
        chain.delete(verified_copies=copies, recheck=recheck, **arguments)
    assert type(caught.value) is error
    assert chain.ledger.deletions == [first, third]
    assert [request.video_id for request in chain.ledger.delete_requests] == [first, third]
    assert f"confirmed: {second}" in str(caught.value)
    assert f"Deleted by this task: {first}, {third}" in str(caught.value)
    assert [name for name in chain.names(package) if "deletion" in name and second not in name] == sorted(
        f"{video}.deletion.json" for video in (first, third)
    )
    return str(caught.value)


@pytest.mark.parametrize("damage", COPIES.values(), ids=COPIES)
def test_a_copy_that_is_not_whole_keeps_its_recording(copied, recheck, damage):
    chain, package, (_, second, _), _ = copied
    damage(chain.path(package, f"{second}.mp4"))
    assert "its copy is not verified" in kept_alone(copied, recheck)


@pytest.mark.parametrize("damage", RECORDS.values(), ids=RECORDS)
def test_a_record_that_is_gone_or_unreadable_keeps_its_recording(copied, recheck, damage):
    chain, package, (_, second, _), _ = copied
    damage(chain.path(package, f"{second}.custody.json"))
    assert "custody record" in kept_alone(copied, recheck)


@pytest.mark.parametrize("changes", FIELDS.values(), ids=FIELDS)
def test_a_record_that_was_edited_keeps_its_recording(copied, recheck, changes, paper):
    chain, package, (_, second, _), _ = copied
    paper(chain.path(package, f"{second}.custody.json"), **changes)
    kept_alone(copied, recheck)


@pytest.mark.parametrize("name", LISTED)
def test_a_record_whose_listing_was_edited_keeps_its_recording(copied, recheck, name, paper):
    chain, package, (_, second, _), _ = copied
    path = chain.path(package, f"{second}.custody.json")
    paper(path, video={**paper(path)["video"], name: LISTED[name]})
    assert name in kept_alone(copied, recheck)


@pytest.mark.parametrize("name", LISTED)
def test_a_recording_that_is_listed_otherwise_now_is_kept(copied, recheck, name):
    chain, package, (_, second, _), _ = copied
    chain.sim.set_fields(package, second, **{name: LISTED[name]})
    assert name in kept_alone(copied, recheck)


@pytest.mark.parametrize(
    "changes",
    [{"size": 199_999}, {"sha256": "0" * 64}],
    ids=["size", "hash"],
)
def test_an_xcom_that_was_edited_keeps_its_recording(copied, recheck, changes):
    copied[3][1].update(changes)
    assert "the stored record and the XCom disagree" in kept_alone(copied, recheck)


def test_an_xcom_that_points_to_a_record_elsewhere_keeps_its_recording(copied, recheck):
    chain, package, (_, second, _), copies = copied
    elsewhere = chain.path(package, "elsewhere.custody.json")
    elsewhere.write_bytes(chain.path(package, f"{second}.custody.json").read_bytes())
    copies[1]["custody_uri"] = copies[1]["custody_uri"].replace(second, "elsewhere")
    assert "does not lie beside the copy" in kept_alone(copied, recheck)


def test_a_whole_copy_under_another_recordings_name_keeps_its_recording(copied, recheck, paper):
    chain, package, (_, second, _), copies = copied
    uri = copies[1]["uri"].replace(second, "other")
    chain.path(package, f"{second}.mp4").rename(chain.path(package, "other.mp4"))
    paper(chain.path(package, f"{second}.custody.json"), uri=uri)
    copies[1]["uri"] = uri
    assert "the copy's name is not that of the recording" in kept_alone(copied, recheck)


def test_a_validator_that_is_not_that_of_publication_keeps_its_recording(etag_chain, paper):
    package, videos = etag_chain.package({}, {}, {})
    copies = etag_chain.download(package)
    paper(etag_chain.path(package, f"{videos[1]}.custody.json"), validator={"etag": "another"})
    assert "validator" in kept_alone((etag_chain, package, videos, copies), "metadata")


def test_by_metadata_a_copy_with_a_validator_is_not_read(etag_chain, paper, monkeypatch):
    package, (video,) = etag_chain.package({})
    copies = etag_chain.download(package)
    monkeypatch.setattr("airflow_provider_iinked.storage.base.Store.sha256", None)
    etag_chain.delete(verified_copies=copies, recheck="metadata")
    assert paper(etag_chain.path(package, f"{video}.deletion.json"))["proof"]["kind"] == "metadata"


def test_by_metadata_a_copy_without_a_validator_is_read(chain, paper):
    package, (video,) = chain.package({})
    chain.delete(verified_copies=chain.download(package), recheck="metadata")
    assert paper(chain.path(package, f"{video}.deletion.json"))["proof"]["kind"] == "sha256"


def test_a_receipt_that_cannot_be_written_keeps_its_recording(copied, recheck):
    chain, package, (_, second, _), _ = copied
    chain.path(package, f"{second}.deletion.json").mkdir()
    kept_alone(copied, recheck, error=StorageError)


def test_copies_of_another_data_centre_delete_nothing(copied, recheck, monkeypatch):
    chain, _, _, copies = copied
    connection = chain.sim.connection_json().replace("127.0.0.1", "localhost")
    monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", connection)
    with pytest.raises(VerificationError, match="api_base"):
        chain.delete(verified_copies=copies, recheck=recheck)
    assert chain.ledger.delete_requests == []


@pytest.mark.parametrize("state", ["started", "stopped", "queued", "failed", "unheard"])
def test_a_recording_that_is_live_in_another_state_refuses_the_whole_call(copied, recheck, state):
    chain, package, (_, second, _), copies = copied
    chain.sim.set_state(package, second, state)
    with pytest.raises(StateNotAllowedError, match="nothing was sent"):
        chain.delete(verified_copies=copies, recheck=recheck)
    assert chain.ledger.delete_requests == []


def test_other_bytes_behind_the_same_id_are_not_noticed_by_the_list_but_the_copy_is_verified(copied, recheck):
    chain, _, videos, copies = copied
    chain.delete(verified_copies=copies, recheck=recheck)
    assert chain.ledger.deletions == videos


def test_without_parallelism_each_copy_is_verified_right_before_its_own_deletion(copied, recheck, meanwhile):
    chain, package, (_, second, _), _ = copied
    meanwhile.after_first_deletion(lambda: change_one_byte(chain.path(package, f"{second}.mp4")))
    kept_alone(copied, recheck, max_parallel=1)


def test_a_kept_recording_is_copied_again_and_then_deleted(copied, recheck):
    chain, package, (_, second, _), _ = copied
    cut(chain.path(package, f"{second}.mp4"))
    kept_alone(copied, recheck)

    copies = chain.download(package)
    chain.delete(verified_copies=copies, recheck=recheck)

    assert chain.ledger.deletions[-1] == second
    assert len(copies) == len(chain.ledger.deletions) == 3
    assert len([name for name in chain.names(package) if "set-aside" in name]) == 2


def test_clearing_the_chain_sends_no_deletion_with_listed_or_dropped_recordings(any_chain, recheck):
    for listed in (True, False):
        package, videos = any_chain.package({}, {})
        copies = any_chain.download(package)
        any_chain.delete(verified_copies=copies, recheck=recheck)
        any_chain.sim.quirks.list_deleted = listed
        sent = len(any_chain.ledger.delete_requests)

        again = any_chain.download(package)
        answer = any_chain.delete(verified_copies=again, recheck=recheck)

        assert sorted(map(str, again)) == sorted(map(str, copies))
        assert len(any_chain.ledger.delete_requests) == sent
        assert sorted(answer.get("notListed", [])) == ([] if listed else sorted(videos))


def test_a_deletion_that_was_verified_says_so_in_its_receipt(copied, recheck, paper):
    chain, package, videos, copies = copied
    chain.delete(verified_copies=copies, recheck=recheck)
    for video, copy in zip(videos, copies, strict=True):
        receipt = paper(chain.path(package, f"{video}.deletion.json"))
        assert (receipt["status"], receipt["told_by"]) == ("deleted", "answer")
        assert receipt["api_base"] == chain.sim.api_base
        assert receipt["conn_id"] == "iinked_sign_default"
        assert receipt["answer"]["state"] == "deleted"
        assert receipt["proof"]["sha256"] == copy["sha256"] == chain.sim.sha256(video)
        assert receipt["requested_at"] < receipt["deleted_at"]


def test_copies_may_be_narrowed_to_some_in_any_case(copied, recheck):
    chain, _, (first, second, _), copies = copied
    chain.delete(verified_copies=copies, meeting_video_ids=[second.upper(), first], recheck=recheck)
    assert chain.ledger.deletions == [second, first]
    assert {request.body["meetingVideoId"] for request in chain.ledger.delete_requests} == {first, second}
