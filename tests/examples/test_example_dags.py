from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from airflow_provider_iinked.simulator.demo import EMPTY, PAIR, ROOM, fill, video_id
from tests.examples.conftest import answer_questions, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AIRFLOW = tuple(map(int, airflow_version.split(".")[:2]))
RunExample = "Callable[..., list[dict[str, Any]]]"


def copies_below(folder: Path) -> dict[str, str]:
    """SHA-256 of each copy by the recording's id."""
    return {
        record.name.removesuffix(".custody.json"): hashlib.sha256(
            (record.parent / json.loads(record.read_text())["uri"].rsplit("/", 1)[1]).read_bytes()
        ).hexdigest()
        for record in folder.rglob("*.custody.json")
    }


def test_chain_waits_copies_and_deletes_and_sends_nothing_when_run_again(
    iinked_simulator: IinkedSimulator, run_example: RunExample, tmp_path: Path
) -> None:
    fill(iinked_simulator, archive_after=0)
    ids = [video_id(ROOM, number) for number in (1, 2, 3)]
    expected = {one: iinked_simulator.sha256(one) for one in ids}

    first, second = run_example("iinked_sign_chain", {}, {"package_id": ROOM})

    assert [first["state"], second["state"]] == ["success", "success"]
    assert copies_below(tmp_path / "destination") == expected
    assert sorted(iinked_simulator.ledger.deletions) == ids
    assert all(deletion.by_id for deletion in iinked_simulator.ledger.deletion_records)
    assert len(iinked_simulator.ledger.delete_requests) == len(ids)
    assert {copy["meeting_video_id"]: copy["sha256"] for copy in first["tasks"]["download"]["xcom"]} == expected
    assert first["tasks"]["download"]["xcom"] == second["tasks"]["download"]["xcom"]
    assert sorted(video["meetingVideoId"] for video in first["tasks"]["delete"]["xcom"]["videos"]) == ids


def test_nightly_sweep_takes_every_package_with_something_archived_and_leaves_what_is_not(
    iinked_simulator: IinkedSimulator, run_example: RunExample, tmp_path: Path
) -> None:
    fill(iinked_simulator, archive_after=3600, packages=2)
    archived = {
        video.meeting_video_id: iinked_simulator.sha256(video.meeting_video_id)
        for package in iinked_simulator.packages()
        for video in package.videos.values()
        if video.state == "archived"
    }

    (run,) = run_example("iinked_sign_nightly_sweep")

    assert run["state"] == "success"
    assert all(EMPTY not in batch for batch in run["tasks"]["packages"]["xcom"])
    assert copies_below(tmp_path / "destination") == archived
    assert sorted(iinked_simulator.ledger.deletions) == sorted(archived)
    assert video_id(ROOM, 3) not in archived


def test_nightly_sweep_with_nothing_archived_does_nothing(
    iinked_simulator: IinkedSimulator, run_example: RunExample
) -> None:
    iinked_simulator.add_package(EMPTY)

    (run,) = run_example("iinked_sign_nightly_sweep")

    assert run["state"] == "success"
    assert iinked_simulator.ledger.delete_requests == []


def test_nightly_sweep_goes_on_with_the_other_packages_when_one_fails(
    iinked_simulator: IinkedSimulator, run_example: RunExample, tmp_path: Path
) -> None:
    fill(iinked_simulator, archive_after=3600)
    blocked = tmp_path / "destination" / PAIR
    blocked.parent.mkdir()
    blocked.write_text("a file where a folder has to be")

    (run,) = run_example("iinked_sign_nightly_sweep")

    assert run["tasks"]["archive.download[0]"]["state"] == "failed"
    assert run["tasks"]["archive.delete[0]"]["state"] == "success"
    assert run["state"] == "failed"
    assert {video_id(ROOM, 1), video_id(ROOM, 2)} <= set(iinked_simulator.ledger.deletions)
    assert not {video_id(PAIR, 1), video_id(PAIR, 2)} & set(iinked_simulator.ledger.deletions)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Answers each question at once, with what is in the list."""
    answers = ["Approve"]
    if AIRFLOW < (3, 1):
        yield answers
        return
    answer_questions(monkeypatch, "ada", lambda: answers[0])
    yield answers


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="approval needs Airflow 3.1")
def test_deletion_by_id_sends_nothing_when_the_person_says_no(
    iinked_simulator: IinkedSimulator, run_example: RunExample, person: list[str]
) -> None:
    fill(iinked_simulator, archive_after=0)
    person[:] = ["Reject"]

    (run,) = run_example("iinked_sign_delete_by_id", {"meeting_video_ids": [video_id(PAIR, 2)]})

    assert run["tasks"]["delete"]["state"] == "skipped"
    assert iinked_simulator.ledger.delete_requests == []


def test_deletion_by_id_takes_what_was_named_and_writes_receipts(
    iinked_simulator: IinkedSimulator, run_example: RunExample, tmp_path: Path, person: list[str]
) -> None:
    fill(iinked_simulator, archive_after=0)
    meant = video_id(PAIR, 2)

    first, second = run_example("iinked_sign_delete_by_id", *[{"meeting_video_ids": [meant]}] * 2)

    assert [first["state"], second["state"]] == ["success", "success"]
    assert iinked_simulator.ledger.deletions == [meant]
    assert len(iinked_simulator.ledger.delete_requests) == 1
    assert first["tasks"]["preview"]["xcom"]["preview"] is True
    receipt = json.loads((tmp_path / "receipts" / PAIR / f"{meant}.deletion.json").read_text())
    assert receipt["status"] == "deleted"
    if AIRFLOW >= (3, 1):
        assert receipt["approval"]["responded_by"] == "ada"


@pytest.mark.parametrize(
    ("conf", "state"),
    [
        pytest.param({}, "success", id="no-ids-nothing-to-do"),
        pytest.param({"package_id": ROOM, "meeting_video_ids": [video_id(ROOM, 3)]}, "failed", id="not-archived"),
        pytest.param({"meeting_video_ids": [video_id(PAIR, 1), ""]}, "failed", id="a-blank-id-among-them"),
    ],
)
def test_deletion_by_id_sends_nothing(
    iinked_simulator: IinkedSimulator, run_example: RunExample, person: list[str], conf: dict[str, Any], state: str
) -> None:
    fill(iinked_simulator, archive_after=3600)

    (run,) = run_example("iinked_sign_delete_by_id", conf)

    assert run["state"] == state
    assert iinked_simulator.ledger.delete_requests == []


def test_a_package_is_found_by_a_matter_number(
    iinked_simulator: IinkedSimulator, run_example: RunExample, tmp_path: Path
) -> None:
    fill(iinked_simulator, archive_after=0)

    (run,) = run_example("iinked_sign_by_matter_number", {"matter_number": "M-1002"})

    assert run["state"] == "success"
    assert sorted(iinked_simulator.ledger.deletions) == [video_id(PAIR, 1), video_id(PAIR, 2)]
    assert sorted(copies_below(tmp_path / "destination")) == [video_id(PAIR, 1), video_id(PAIR, 2)]


@pytest.mark.parametrize("number", ["M-100*", "M-9999"], ids=["several-match", "none-matches"])
def test_a_matter_number_that_is_not_one_package_stops_the_chain(
    iinked_simulator: IinkedSimulator, run_example: RunExample, number: str
) -> None:
    fill(iinked_simulator, archive_after=0)

    (run,) = run_example("iinked_sign_by_matter_number", {"matter_number": number})

    assert (run["state"], run["tasks"]["exactly_one"]["state"]) == ("failed", "failed")
    assert iinked_simulator.ledger.requests(call="videos") == []
    assert iinked_simulator.ledger.deletions == []


def test_each_data_centre_has_its_own_chain(
    iinked_simulator: IinkedSimulator, run_example: RunExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with IinkedSimulator() as elsewhere:
        for region, sim in (("us", iinked_simulator), ("eu", elsewhere)):
            sim.add_package(videos=[f"one-in-{region}"])
            for name, value in sim.connection_env(f"iinked_sign_{region}").items():
                monkeypatch.setenv(name, value)

        (run,) = run_example("iinked_sign_data_centres")

        assert run["state"] == "success"
        assert iinked_simulator.ledger.deletions == ["one-in-us"]
        assert elsewhere.ledger.deletions == ["one-in-eu"]
    assert list(copies_below(tmp_path / "destination" / "us")) == ["one-in-us"]
    assert list(copies_below(tmp_path / "destination" / "eu")) == ["one-in-eu"]


def test_the_monthly_reading_finds_a_copy_that_changed(
    iinked_simulator: IinkedSimulator, run_example: RunExample, tmp_path: Path
) -> None:
    fill(iinked_simulator, archive_after=0)
    run_example("iinked_sign_chain", {"package_id": ROOM})
    (whole,) = run_example("iinked_sign_verify_copies")
    (tmp_path / "destination" / ROOM / f"{video_id(ROOM, 1)}.mp4").write_bytes(b"something else")

    (changed,) = run_example("iinked_sign_verify_copies")

    assert [whole["state"], changed["state"]] == ["success", "failed"]
    (difference,) = changed["tasks"]["verify"]["xcom"]["differences"]
    assert difference["meeting_video_id"] == video_id(ROOM, 1)


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the notifier would send, rendered."""
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    sent: list[str] = []
    monkeypatch.setattr(SmtpNotifier, "notify", lambda self, context: sent.append(self.html_content))
    return sent


def test_the_retention_radar_fails_for_a_recording_that_ends_soon_and_mails_its_package(
    iinked_simulator: IinkedSimulator, run_example: RunExample, mails: list[str]
) -> None:
    package = iinked_simulator.add_package(PAIR)
    iinked_simulator.add_video(package, "soon", retention_in=3.5 * 86_400)
    iinked_simulator.add_video(package, "late", retention_in=300 * 86_400)

    (run,) = run_example("iinked_sign_retention_radar")

    assert run["tasks"]["ends_soon"]["state"] == "failed"
    assert iinked_simulator.ledger.delete_requests == []
    (mail,) = mails
    assert mail.startswith(f"<p>Package {PAIR}: 1 recordings end from 20")
    assert mail.endswith("in 3 days: soon</p>")


def test_the_retention_radar_is_quiet_when_nothing_ends_soon_or_all_of_it_is_copied(
    iinked_simulator: IinkedSimulator, run_example: RunExample, mails: list[str]
) -> None:
    package = iinked_simulator.add_package(PAIR)
    iinked_simulator.add_video(package, retention_in=30 * 86_400)
    copied = iinked_simulator.add_package(ROOM)
    iinked_simulator.add_video(copied, retention_in=3 * 86_400)
    # The chain copies it, and may not delete it.
    iinked_simulator.faults.add(Fault(call="delete", kind="status", status=403, on="always"))
    run_example("iinked_sign_chain", {"package_id": ROOM})

    (run,) = run_example("iinked_sign_retention_radar")

    assert run["state"] == "success"
    assert run["tasks"]["ends_soon"]["xcom"] == [[PAIR]]
    assert mails == []


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="approval needs Airflow 3.1")
def test_evidence_grade_locks_two_copies_and_asks_another_person_before_the_deletion() -> None:
    group = "archive_and_delete_videos"
    dag = load("iinked_sign_evidence_grade").dag
    download, delete = dag.get_task(f"{group}.download"), dag.get_task(f"{group}.delete")
    assert (len(download.destination), download.retain_for, delete.min_copies) == (2, "P10Y", 2)
    assert dag.get_task(f"{group}.approve").require_other_person is True
    assert dag.get_task(f"{group}.approve").upstream_task_ids == {f"{group}.preview"}
    assert f"{group}.approve" in delete.upstream_task_ids
