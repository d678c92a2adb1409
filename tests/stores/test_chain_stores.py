"""Download, run again, delete: on S3 and on Azure Blob Storage, as on a disk."""

from __future__ import annotations

import hashlib
import json

import pytest

from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.exceptions import IinkedSignError
from tests.stores.store_chain import StoreChain

MIB = 1 << 20


def test_copies_are_those_of_the_source_and_records_stand_beside_them(stored: StoreChain) -> None:
    package, (small, large) = stored.package("small-1", {"meeting_video_id": "large-1", "size": 20 * MIB})

    copies = stored.download(package)

    assert [copy["sha256"] for copy in copies] == [stored.sim.sha256(small), stored.sim.sha256(large)]
    assert hashlib.sha256(stored.get(package, f"{large}.mp4")).hexdigest() == stored.sim.sha256(large)
    assert stored.names(package) == [
        "large-1.custody.json", "large-1.mp4", "small-1.custody.json", "small-1.mp4",
    ]  # fmt: skip
    record = stored.json(package, f"{large}.custody.json")
    assert (record["format"], record["size"], record["uri"]) == (1, 20 * MIB, f"{stored.url}/{package}/{large}.mp4")
    if stored.bucket.kind != "sftp":  # which gives none
        assert record["validator"]["etag"]
    assert stored.bucket.open_uploads() == []


@pytest.mark.parametrize("recheck", ["sha256", "metadata"])
def test_deletes_what_was_verified_and_leaves_receipts(stored: StoreChain, recheck: str) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": 9 * MIB})
    copies = stored.download(package)

    stored.delete(verified_copies=copies, recheck=recheck)

    assert stored.sim.ledger.deletions == [video]
    receipt = stored.json(package, f"{video}.deletion.json")
    assert (receipt["status"], receipt["proof"]["kind"]) == (
        "deleted",
        "sha256" if stored.bucket.kind == "sftp" else recheck,
    )
    assert stored.names(package) == ["video-1.custody.json", "video-1.deletion.json", "video-1.mp4"]


def test_running_the_finished_chain_again_fetches_and_deletes_nothing(stored: StoreChain) -> None:
    package, _ = stored.package("video-1", "video-2")
    copies = stored.download(package)
    stored.delete(verified_copies=copies)
    fetched = len(stored.sim.ledger.requests(call="recording"))

    assert stored.download(package) == copies
    stored.delete(verified_copies=copies)

    assert len(stored.sim.ledger.requests(call="recording")) == fetched
    assert len(stored.sim.ledger.delete_requests) == 2


@pytest.mark.parametrize("recheck", ["sha256", "metadata"])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed", "record gone", "record edited"])
def test_keeps_the_recording_whose_copy_is_damaged_and_deletes_the_other(
    stored: StoreChain, damage: str, recheck: str
) -> None:
    package, (bad, good) = stored.package("video-1", "video-2")
    copies = stored.download(package)
    copy, record = f"copies/{package}/{bad}.mp4", f"copies/{package}/{bad}.custody.json"
    data = stored.bucket.get(copy)
    if damage == "gone":
        stored.bucket.remove(copy)
    elif damage == "cut":
        stored.bucket.put(copy, data[:-1])
    elif damage == "changed":
        stored.bucket.put(copy, data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "record gone":
        stored.bucket.remove(record)
    else:
        stored.bucket.put(record, json.dumps({**json.loads(stored.bucket.get(record)), "size": 1}).encode())

    with pytest.raises(IinkedSignError, match=bad):
        stored.delete(verified_copies=copies, recheck=recheck)

    assert stored.sim.ledger.deletions == [good]


def test_a_copy_that_no_longer_agrees_is_quarantined_and_fetched_again(stored: StoreChain) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": 9 * MIB})
    stored.download(package)
    stored.put(package, "video-1.mp4", b"something else")

    (copy,) = stored.download(package)

    assert copy["sha256"] == stored.sim.sha256(video)
    aside = [name for name in stored.names(package) if name.startswith("video-1.mp4.set-aside-")]
    assert [stored.get(package, name) for name in aside] == [b"something else"]
    assert len([name for name in stored.names(package) if name.startswith("video-1.custody.json.set-aside-")]) == 1


def test_a_copy_without_a_record_is_taken_over_when_it_is_the_recording(stored: StoreChain) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": 9 * MIB})
    stored.put(package, "video-1.mp4", stored.sim.content(video))

    (copy,) = stored.download(package)

    assert copy["sha256"] == stored.sim.sha256(video)
    assert stored.names(package) == ["video-1.custody.json", "video-1.mp4"]
    assert stored.bucket.open_uploads() == []


def test_a_copy_without_a_record_is_quarantined_when_it_is_something_else(stored: StoreChain) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": 9 * MIB})
    stored.put(package, "video-1.mp4", b"not the recording")

    (copy,) = stored.download(package)

    assert copy["sha256"] == stored.sim.sha256(video) == hashlib.sha256(stored.get(package, "video-1.mp4")).hexdigest()
    (aside,) = [name for name in stored.names(package) if "set-aside" in name]
    assert stored.get(package, aside) == b"not the recording"
    assert stored.bucket.open_uploads() == []


def test_folders_whose_names_begin_alike_are_not_mixed_up(stored: StoreChain) -> None:
    stored.sim.add_package("package-1")
    stored.sim.add_package("package-10")
    for package in ("package-1", "package-10"):
        stored.sim.add_video(package, f"video-of-{package}")

    assert [len(stored.download(package)) for package in ("package-1", "package-10", "package-1")] == [1, 1, 1]
    assert stored.store().list_names(f"{stored.url}/package-1") == [
        "video-of-package-1.custody.json", "video-of-package-1.mp4",
    ]  # fmt: skip


def test_receipts_of_deletions_without_copies_are_written(stored: StoreChain) -> None:
    package, (video,) = stored.package("video-1")

    stored.delete(package_id=package, meeting_video_ids=video, receipt_destination=stored.url)

    receipt = stored.json(package, "video-1.deletion.json")
    assert (receipt["status"], receipt["proof"]) == ("deleted", None)


def test_several_recordings_are_moved_by_several_threads(stored: StoreChain) -> None:
    package, videos = stored.package(*({"meeting_video_id": f"video-{n}", "size": 9 * MIB} for n in range(6)))

    copies = stored.download(package, max_parallel=4)

    assert [copy["sha256"] for copy in copies] == [stored.sim.sha256(video) for video in videos]
    assert stored.bucket.open_uploads() == []
    assert len(stored.names(package)) == 12


@pytest.mark.parametrize("recheck", ["sha256", "metadata"])
def test_copies_in_a_store_are_verified_and_erased(stored: StoreChain, recheck: str) -> None:
    package, _ = stored.package("video-1", "video-2", "video-3")
    stored.download(package)
    stored.put(package, "video-1.mp4", bytes(200_000))
    erase_copy(stored.url, package, "video-2", reason="asked for")

    found = verify_copies(stored.url, recheck=recheck)

    assert [(finding.meeting_video_id, str(finding.status)) for finding in found.findings] == [
        ("video-1", "changed"), ("video-2", "erased"), ("video-3", "ok"),
    ]  # fmt: skip
    assert stored.json(package, "video-2.erased.json")["status"] == "erased"


def test_a_recording_that_does_not_play_is_never_published(stored: StoreChain) -> None:
    package, (bad, good) = stored.package(*({"meeting_video_id": name, "size": 20 * MIB} for name in ("bad", "good")))
    content = stored.sim.video(package, bad).content
    content._head = content._head[:2000] + bytes(len(content._head) - 2000)

    with pytest.raises(IinkedSignError, match=bad):
        stored.download(package, check_media=True)

    assert stored.names(package) == [f"{good}.custody.json", f"{good}.mp4"]
    assert stored.json(package, f"{good}.custody.json")["media"]["duration"] == 6.0
    assert stored.bucket.open_uploads() == []
