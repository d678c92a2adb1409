"""Verifying later: what is ok, changed, missing, erased on purpose; deleted at the source or not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.custody.__main__ import main
from airflow_provider_iinked.custody.finding import Status
from airflow_provider_iinked.custody.tombstone import erase_copy, tombstone_problems
from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError, VerificationError
from airflow_provider_iinked.operators.custody import IinkedVerifyCopiesOperator


def statuses(chain: Any, **arguments: Any) -> dict[str, tuple[str, str]]:
    found = verify_copies(chain.destination, **arguments)
    return {finding.meeting_video_id: (str(finding.status), finding.source) for finding in found.findings}


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_whole_copies_are_ok_and_their_source_is_known(chain: Any) -> None:
    package, (first, second) = chain.package("video-1", "video-2")
    copies = chain.download(package)
    chain.delete(verified_copies=copies, meeting_video_ids=second)

    assert statuses(chain) == {first: ("ok", "kept"), second: ("ok", "deleted")}


def test_a_withdrawn_receipt_says_that_the_source_was_kept(chain: Any) -> None:
    package, (video,) = chain.package("video-1")
    chain.delete(verified_copies=chain.download(package))
    edit(chain.path(package, f"{video}.deletion.json"), status="withdrawn")
    assert statuses(chain) == {video: ("ok", "kept")}


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        (lambda folder: (folder / "video-1.mp4").unlink(), "missing"),
        (lambda folder: (folder / "video-1.custody.json").unlink(), "unrecorded"),
        (lambda folder: os.truncate(folder / "video-1.mp4", 100), "changed"),
        (lambda folder: (folder / "video-1.mp4").write_bytes(bytes(200_000)), "changed"),
        (lambda folder: (folder / "video-1.custody.json").write_text("{"), "changed"),
        (lambda folder: edit(folder / "video-1.custody.json", format=2), "changed"),
        (lambda folder: edit(folder / "video-1.custody.json", format=True), "changed"),
        (lambda folder: edit(folder / "video-1.custody.json", sha256="0" * 64), "changed"),
        (lambda folder: edit(folder / "video-1.custody.json", meeting_video_id="video-2"), "changed"),
        (lambda folder: edit(folder / "video-1.custody.json", package_id="other"), "changed"),
        (lambda folder: edit(folder / "video-1.custody.json", uri="file:///x/video-2.mp4"), "changed"),
        (lambda folder: edit(folder / "video-1.custody.json", api_base=None), "changed"),
    ],
)
def test_each_damage_is_reported(chain: Any, damage: Any, status: str) -> None:
    package, _ = chain.package("video-1", "video-2")
    chain.download(package)

    damage(chain.path(package))

    assert statuses(chain) == {"video-1": (status, "kept"), "video-2": ("ok", "kept")}


def test_a_copy_that_cannot_be_read_is_reported_and_the_others_are_verified(chain: Any) -> None:
    package, _ = chain.package("video-1", "video-2")
    chain.download(package)
    chain.path(package, "video-1.mp4").unlink()
    chain.path(package, "video-1.mp4").mkdir()

    assert statuses(chain) == {"video-1": ("unreadable", "kept"), "video-2": ("ok", "kept")}


def test_a_record_that_vanished_after_the_deletion_is_missing(chain: Any) -> None:
    package, (video,) = chain.package("video-1")
    chain.delete(verified_copies=chain.download(package))
    for name in ("video-1.custody.json", "video-1.mp4"):
        chain.path(package, name).unlink()

    assert statuses(chain) == {video: ("missing", "deleted")}


def test_a_deletion_without_a_copy_is_no_difference(chain: Any) -> None:
    package, (video,) = chain.package("video-1")
    chain.delete(package_id=package, meeting_video_ids=video, receipt_destination=chain.destination)

    assert statuses(chain) == {video: ("no copy", "deleted")}
    assert verify_copies(chain.destination).differences == []


def test_an_erased_copy_is_no_difference_and_its_tombstone_says_why(chain: Any) -> None:
    package, (video,) = chain.package("video-1")
    (copy,) = chain.download(package)
    chain.delete(verified_copies=[copy])

    erase_copy(chain.destination, package, video, reason="asked for by the signer", erased_by="privacy desk")

    (finding,) = verify_copies(chain.destination).findings
    assert (finding.status, finding.source, finding.problems) == (
        Status.ERASED, "deleted", ("asked for by the signer",),
    )  # fmt: skip
    tombstone = json.loads(chain.path(package, "video-1.erased.json").read_text())
    assert {name: tombstone[name] for name in ("format", "status", "erased_by", "sha256", "size", "removed")} == {
        "format": 1,
        "status": "erased",
        "erased_by": "privacy desk",
        "sha256": copy["sha256"],
        "size": 200_000,
        "removed": ["video-1.mp4"],
    }
    assert chain.names(package) == ["video-1.custody.json", "video-1.deletion.json", "video-1.erased.json"]


def test_what_was_quarantined_of_a_recording_is_erased_too_and_nothing_of_its_neighbours(chain: Any) -> None:
    package, _ = chain.package("video-1", "video-10")
    chain.download(package)
    chain.path(package, "video-1.mp4").write_bytes(b"damaged")
    chain.download(package)

    erase_copy(chain.destination, package, "video-1", reason="asked for")

    assert [name for name in chain.names(package) if name.startswith("video-1.mp4")] == []
    assert chain.path(package, "video-10.mp4").exists()


def test_an_erasure_that_was_cut_short_is_a_difference_until_it_is_requested_again(chain: Any) -> None:
    package, (video,) = chain.package("video-1")
    chain.download(package)
    erase_copy(chain.destination, package, video, reason="asked for")
    edit(chain.path(package, "video-1.erased.json"), status="requested")
    chain.path(package, "video-1.mp4").write_bytes(b"still there")
    assert statuses(chain) == {video: ("changed", "kept")}

    tombstone = erase_copy(chain.destination, package, video, reason="asked for")

    assert statuses(chain) == {video: ("erased", "kept")}
    assert tombstone["removed"] == ["video-1.mp4", "video-1.mp4"]


@pytest.mark.parametrize("reason", ["", " ", None])
def test_nothing_is_erased_without_a_reason(chain: Any, reason: Any) -> None:
    package, (video,) = chain.package("video-1")
    chain.download(package)

    with pytest.raises(InvalidArgumentError, match="reason"):
        erase_copy(chain.destination, package, video, reason=reason)

    assert chain.names(package) == ["video-1.custody.json", "video-1.mp4"]


def test_nothing_is_erased_where_nothing_of_that_recording_is(chain: Any) -> None:
    package, _ = chain.package("video-1")
    chain.download(package)

    with pytest.raises(VerificationError, match="video-2"):
        erase_copy(chain.destination, package, "video-2", reason="asked for")

    assert chain.names(package) == ["video-1.custody.json", "video-1.mp4"]


@pytest.mark.parametrize(
    "tombstone",
    [
        None,
        [],
        {},
        {"format": 2, "status": "erased", "package_id": "p", "meeting_video_id": "v"},
        {"format": True, "status": "erased", "package_id": "p", "meeting_video_id": "v"},
        {"format": 1, "status": "requested", "package_id": "p", "meeting_video_id": "v"},
        {"format": 1, "status": "erased", "package_id": "q", "meeting_video_id": "v"},
    ],
)
def test_only_a_finished_tombstone_of_that_recording_counts(tombstone: Any) -> None:
    assert tombstone_problems(tombstone, package_id="p", meeting_video_id="v")


def test_an_erased_copy_is_not_made_again_by_the_next_sweep(chain: Any) -> None:
    package, (video, other) = chain.package("video-1", "video-2")
    chain.download(package)
    erase_copy(chain.destination, package, video, reason="asked for")

    assert [copy["meeting_video_id"] for copy in chain.download(package)] == [other]
    assert not chain.path(package, "video-1.mp4").exists()
    with pytest.raises(IinkedSignError, match="erased on purpose"):
        chain.download(package, meeting_video_ids=video)


def test_a_recording_deleted_at_the_source_and_erased_does_not_fail_the_sweep(chain: Any) -> None:
    package, (video,) = chain.package("video-1")
    chain.delete(verified_copies=chain.download(package))
    erase_copy(chain.destination, package, video, reason="asked for")

    assert chain.download(package) == []


def test_copies_that_were_moved_elsewhere_are_verified_where_they_lie(chain: Any, tmp_path: Path) -> None:
    package, (video,) = chain.package("video-1")
    chain.download(package)
    shutil.copytree(chain.folder, tmp_path / "restored")

    found = verify_copies(f"file://{tmp_path}/restored")

    assert [(finding.meeting_video_id, finding.status) for finding in found.findings] == [(video, Status.OK)]


def test_metadata_reads_the_bytes_where_the_store_gives_no_validator(chain: Any) -> None:
    package, (video,) = chain.package("video-1")
    chain.download(package)
    path = chain.path(package, "video-1.mp4")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    assert statuses(chain, recheck="metadata") == {video: ("changed", "kept")}


# --- the command --------------------------------------------------------------------------------------------------


def test_the_table_tells_each_recording_and_the_exit_code_whether_all_is_well(
    chain: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    package, _ = chain.package("video-1", "video-2")
    chain.download(package)
    assert main(["verify", chain.destination]) == 0
    chain.path(package, "video-1.mp4").unlink()
    capsys.readouterr()

    assert main(["verify", chain.destination]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:4] for line in lines[1:3]] == [["video-1", "missing", "kept"], ["video-2", "ok", "kept"]]
    assert lines[-1] == "2 recordings: 1 ok, 1 missing"


def test_json_holds_the_same(chain: Any, capsys: pytest.CaptureFixture[str]) -> None:
    package, (video,) = chain.package("video-1")
    chain.download(package)
    capsys.readouterr()

    assert main(["verify", chain.destination, "--json", "--package", package]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"ok": 1}
    assert [finding["meeting_video_id"] for finding in told["findings"]] == [video]


@pytest.mark.parametrize("destination", ["file://{folder}/nothing-here", "file://{folder}"])
def test_nothing_there_is_no_success(chain: Any, tmp_path: Path, destination: str) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["verify", destination.format(folder=tmp_path / "empty")]) == 1


def test_a_destination_without_a_scheme_is_a_wrong_argument(chain: Any) -> None:
    assert main(["verify", "data/recordings"]) == 2


def test_a_package_that_was_named_and_is_not_there_is_a_difference(chain: Any) -> None:
    package, _ = chain.package("video-1")
    chain.download(package)

    assert main(["verify", chain.destination, "--package", package, "--package", "another"]) == 1


def test_erase_says_what_would_go_and_does_it_only_with_yes(chain: Any, capsys: pytest.CaptureFixture[str]) -> None:
    package, (video,) = chain.package("video-1")
    chain.download(package)
    command = ["erase", chain.destination, package, video, "--reason", "asked for"]

    assert main(command) == 2
    assert "video-1.mp4" in capsys.readouterr().out
    assert chain.path(package, "video-1.mp4").exists()
    assert main([*command, "--yes"]) == 0
    assert not chain.path(package, "video-1.mp4").exists()


def test_it_runs_as_a_program_without_any_connection(chain: Any) -> None:
    package, _ = chain.package("video-1")
    chain.download(package)
    command = [sys.executable, "-m", "airflow_provider_iinked.custody", "verify", chain.destination]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN_")}

    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "1 recordings: 1 ok" in done.stdout


# --- the operator -------------------------------------------------------------------------------------------------


class Pushed:
    """The XComs of a task instance."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.values[key] = value


def operator(destination: str, **arguments: Any) -> IinkedVerifyCopiesOperator:
    return IinkedVerifyCopiesOperator(task_id=f"verify_{os.urandom(3).hex()}", destination=destination, **arguments)


def test_the_operator_counts(chain: Any) -> None:
    package, _ = chain.package("video-1", "video-2")
    chain.download(package)

    assert operator(chain.destination).execute({}) == {
        "destination": chain.destination, "counts": {"ok": 2}, "differences": [],
    }  # fmt: skip


def test_the_operator_fails_for_good_on_a_difference_and_its_xcom_names_it(chain: Any) -> None:
    package, _ = chain.package("video-1", "video-2")
    chain.download(package)
    os.truncate(chain.path(package, "video-1.mp4"), 100)
    pushed = Pushed()

    with pytest.raises(VerificationError, match="video-1"):
        operator(chain.destination).execute({"ti": pushed})

    told = pushed.values["return_value"]
    assert told["counts"] == {"ok": 1, "changed": 1}
    assert [difference["meeting_video_id"] for difference in told["differences"]] == ["video-1"]
    assert json.loads(json.dumps(told)) == told


def test_the_operator_takes_an_empty_destination_for_a_loss(chain: Any) -> None:
    with pytest.raises(VerificationError, match="nothing below"):
        operator(chain.destination).execute({})

    assert operator(chain.destination, allow_empty=True).execute({})["counts"] == {}
    assert operator(chain.destination, package_ids=[]).execute({})["counts"] == {}


@pytest.mark.parametrize("destination", [None, "", " ", "None", "data/x", "s3://b/None", "{{ x }}"])
def test_the_operator_refuses_an_empty_handed_destination(destination: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="destination"):
        operator(destination).execute({})


@pytest.mark.parametrize("package_ids", ["", "None", [None], ["a/b"], 7])
def test_the_operator_refuses_bad_package_ids(chain: Any, package_ids: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="package_ids"):
        operator(chain.destination, package_ids=package_ids).execute({})


def test_the_operator_refuses_package_ids_that_turn_out_as_none(chain: Any) -> None:
    task = operator(chain.destination, package_ids=["p"])
    task.package_ids = None

    with pytest.raises(InvalidArgumentError, match="package_ids"):
        task.execute({})
