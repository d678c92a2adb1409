"""The example "evidence grade" against two S3 servers with Object Lock; its question is answered at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.examples.conftest import answer_questions, describe, load
from tests.stores.store_servers import S3Bucket, s3_server

DAG = "iinked_sign_evidence_grade"
GROUP = "archive_and_delete_videos"
YEARS = 10


@pytest.fixture(scope="module")
def second_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("second-s3")) as endpoint:
        yield endpoint


@pytest.fixture
def buckets(s3_endpoint: str, second_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[S3Bucket]:
    """A bucket with Object Lock on each server, under names of this test's own."""
    number = tmp_path.name.replace("_", "-").lower()[-30:].strip("-")
    made = []
    for endpoint, name in ((s3_endpoint, "DESTINATION"), (second_endpoint, "SECOND_DESTINATION")):
        bucket = S3Bucket(endpoint, f"{name[:2].lower()}-{number}", ObjectLockEnabledForBucket=True)
        monkeypatch.setenv(*bucket.connection())
        monkeypatch.setenv(f"AIRFLOW_VAR_IINKED_{name}", bucket.url)
        made.append(bucket)
    return made


@pytest.fixture
def run_evidence(
    airflow_db: None, buckets: list[S3Bucket], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Run the example; ``before`` happens while the person looks at the plan."""

    def run(package: str, *, option: str = "Approve", before: Callable[[], Any] = lambda: None) -> dict[str, Any]:
        answer_questions(monkeypatch, "bob", lambda: option, before)
        return describe(load(DAG).dag.test(run_conf={"package_id": package}))

    return run


def lock_of(bucket: S3Bucket, key: str) -> tuple[str, datetime] | None:
    """Mode and end of an object's lock, as the store shows it."""
    head = bucket.client.head_object(Bucket=bucket.name, Key=key)
    return (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) if "ObjectLockMode" in head else None


def test_what_was_approved_is_deleted_and_both_copies_are_locked(
    iinked_simulator: IinkedSimulator, run_evidence: Callable[..., dict[str, Any]], buckets: list[S3Bucket]
) -> None:
    package = iinked_simulator.add_package(videos=["a", {"meeting_video_id": "b", "size": 6_000_000}])
    run = run_evidence(package)
    assert run["state"] == "success", run["tasks"]
    assert sorted(iinked_simulator.ledger.deletions) == ["a", "b"]
    for bucket in buckets:
        for video in ("a", "b"):
            key = f"copies/{package}/{video}"
            record = json.loads(bucket.get(f"{key}.custody.json"))
            for name in (f"{key}.mp4", f"{key}.custody.json"):
                lock = lock_of(bucket, name)
                assert lock is not None
                assert lock[0] == "COMPLIANCE"
                assert lock[1] >= datetime.fromisoformat(record["retain_until"]).replace(microsecond=0)
                assert lock[1].year == datetime.fromisoformat(record["video"]["timeCreated"]).year + YEARS
            receipt = json.loads(bucket.get(f"{key}.deletion.json"))
            assert (receipt["status"], receipt["approval"]["responded_by"]) == ("deleted", "bob")
            assert len(receipt["proof"]["copies"]) == 2
            assert lock_of(bucket, f"{key}.deletion.json") is None, "a receipt has to be completed later"


def test_a_rejection_deletes_nothing_and_keeps_the_locked_copies(
    iinked_simulator: IinkedSimulator, run_evidence: Callable[..., dict[str, Any]], buckets: list[S3Bucket]
) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    run = run_evidence(package, option="Reject")
    assert run["tasks"][f"{GROUP}.delete"]["state"] == "skipped"
    assert iinked_simulator.ledger.delete_requests == []
    assert all(lock_of(bucket, f"copies/{package}/a.mp4") for bucket in buckets)


@pytest.mark.parametrize("what", ["copy is replaced", "copy is gone", "package is held"])
def test_what_happens_to_one_store_while_a_person_looks_deletes_nothing(
    iinked_simulator: IinkedSimulator,
    run_evidence: Callable[..., dict[str, Any]],
    buckets: list[S3Bucket],
    what: str,
) -> None:
    from airflow_provider_iinked.custody.hold import place_hold

    package = iinked_simulator.add_package(videos=["a", "b"])
    key = f"copies/{package}/b.mp4"
    # Under a lock the old version stays; what the name shows is another one, or none.
    acts: dict[str, Callable[[], Any]] = {
        "copy is replaced": lambda: buckets[1].put(key, b"other bytes"),
        "copy is gone": lambda: buckets[1].remove(key),
        "package is held": lambda: place_hold(buckets[1].url, package, reason="a matter", settle_for=0),
    }
    run = run_evidence(package, before=acts[what])
    assert run["tasks"][f"{GROUP}.delete"]["state"] == "failed"
    assert iinked_simulator.ledger.delete_requests == []
