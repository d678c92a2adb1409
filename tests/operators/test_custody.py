"""The operators that verify on a budget and seal, run by hand on a signed archive."""

from __future__ import annotations

import itertools
import json

import pytest

from airflow_provider_iinked.custody.errors import SigningKeyError
from airflow_provider_iinked.custody.keys import load_signing_key
from airflow_provider_iinked.exceptions import InvalidArgumentError, VerificationError
from airflow_provider_iinked.operators import custody
from airflow_provider_iinked.operators.custody import IinkedSealArchiveOperator, IinkedVerifyCopiesOperator
from tests.custody.sealed_archives import SignedArchive, flip, make_pem

_numbers = itertools.count()


class Pushed:
    """The XComs of a task instance."""

    def __init__(self):
        self.values = {}

    def xcom_push(self, key, value):
        self.values[key] = value


@pytest.fixture
def archive(tmp_path, monkeypatch):
    pem = make_pem()
    monkeypatch.setenv("AIRFLOW_CONN_EVIDENCE_KEY", json.dumps({"conn_type": "generic", "password": pem}))
    archive = SignedArchive(tmp_path / "archive", load_signing_key(pem))
    archive.url = f"file://{tmp_path}/archive"
    for package in ("p1", "p2", "p3"):
        archive.record(package, "v1", api_base="https://api.test")
    return archive


def verify(archive, context=None, **arguments):
    task = IinkedVerifyCopiesOperator(task_id=f"verify_{next(_numbers)}", destination=archive.url, **arguments)
    return task.execute(context or {})


def seal(archive, context=None, **arguments):
    arguments = {"signing_conn_id": "evidence_key", **arguments}
    task = IinkedSealArchiveOperator(task_id=f"seal_{next(_numbers)}", destination=archive.url, **arguments)
    return task.execute(context or {})


def test_a_budgeted_verification_goes_on_in_the_next_run(archive):
    runs = [verify(archive, max_bytes=1, max_parallel=1)["counts"]["ok"] for _ in range(2)]
    assert max(runs) < 3
    for _ in range(3):
        verify(archive, max_bytes=1, max_parallel=1)
    assert set(json.loads((archive.root / "_verified.json").read_text())["verified_at"]) == {"p1", "p2", "p3"}


@pytest.mark.parametrize("limit", ["max_bytes", "max_seconds"])
def test_a_budget_below_one_is_refused_in_the_dag_file(limit):
    with pytest.raises(InvalidArgumentError, match=limit):
        IinkedVerifyCopiesOperator(task_id="v", destination="file:///x", **{limit: 0})


def test_the_xcom_is_bounded_whatever_is_found(archive, monkeypatch):
    monkeypatch.setattr(custody, "MAX_DIFFERENCES", 2)
    for package in ("p1", "p2", "p3"):
        flip(archive.root / package / "v1.mp4")
    pushed = Pushed()
    with pytest.raises(VerificationError, match="3 of 3"):
        verify(archive, {"ti": pushed})
    result = pushed.values["return_value"]
    assert (len(result["differences"]), result["more_differences"], result["counts"]) == (2, 1, {"changed": 3})


def test_a_seal_returns_its_digest_and_the_next_one_reads_nothing(archive):
    first, second = seal(archive), seal(archive)
    assert (first["number"], first["documents"], first["differences"]) == (1, 3, [])
    assert (second["number"], second["files_read"]) == (2, 0)
    assert archive.audit(expected_seal=second["sha256"]).is_intact


def test_what_differs_is_not_sealed_and_fails_the_task_after_the_seal(archive):
    seal(archive)
    flip(archive.root / "p1/v1.custody.json", 3)
    pushed = Pushed()
    with pytest.raises(VerificationError, match="p1/v1"):
        seal(archive, {"ti": pushed})
    assert pushed.values["return_value"]["number"] == 2


def test_a_seal_without_its_connection_writes_nothing(archive):
    with pytest.raises(SigningKeyError, match="another_key"):
        seal(archive, signing_conn_id="another_key")
    assert not (archive.root / "_seals").exists()


def test_no_key_shows_in_the_xcom_or_the_rendered_fields(archive):
    result = seal(archive)
    assert "PRIVATE" not in json.dumps(result)
    assert "signing_conn_id" in IinkedSealArchiveOperator.template_fields
