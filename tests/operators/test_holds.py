"""The operator that places and releases legal holds."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from airflow_provider_iinked.exceptions import InvalidArgumentError, LegalHoldError
from airflow_provider_iinked.operators.holds import IinkedHoldOperator

_numbers = itertools.count()


def run(destination, **arguments):
    more = {"package_id": "p", "reason": "a matter", **arguments}
    return IinkedHoldOperator(task_id=f"hold_{next(_numbers)}", destination=destination, **more).execute({})


@pytest.fixture
def destination(tmp_path):
    return f"file://{tmp_path}"


def test_a_hold_is_placed_and_released(destination, tmp_path):
    placed = run(destination)
    assert placed == {"hold_id": placed["hold_id"], "package_id": "p", "under_way": []}
    assert (tmp_path / "p" / f"_hold-{placed['hold_id']}.json").exists()
    assert run(destination, release=True, hold_id=placed["hold_id"])["held_by_others"] == []
    assert not (tmp_path / "p" / f"_hold-{placed['hold_id']}.json").exists()


def test_a_release_without_a_hold_fails(destination):
    with pytest.raises(LegalHoldError):
        run(destination, release=True)


@pytest.mark.parametrize(
    "wrong", [{"reason": " "}, {"package_id": "a/b"}, {"package_id": "None"}, {"destination": "data/x"}]
)
def test_a_bad_argument_writes_nothing(destination, tmp_path, wrong):
    with pytest.raises(InvalidArgumentError):
        run(**{"destination": destination, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_an_id_for_a_new_hold_is_refused_in_the_dag_file(destination):
    with pytest.raises(InvalidArgumentError, match="release=True"):
        IinkedHoldOperator(task_id="h", destination=destination, package_id="p", reason="x", hold_id="0123abcd")


def test_a_hold_id_that_a_template_left_empty_releases_nothing(destination):
    run(destination)
    task = IinkedHoldOperator(
        task_id="h2", destination=destination, package_id="p", reason="x", release=True, hold_id="{{ x }}"
    )
    task.hold_id = None
    with pytest.raises(InvalidArgumentError, match="hold_id"):
        task.execute({})


def test_a_retry_of_the_task_finds_its_hold_and_another_run_places_one_of_its_own(destination, tmp_path):
    def run_in(run_id, try_number):
        ti = SimpleNamespace(dag_id="d", run_id=run_id, task_id="t", map_index=-1, try_number=try_number)
        ti.xcom_push = lambda **value: None
        task = IinkedHoldOperator(
            task_id=f"hold_{next(_numbers)}", destination=destination, package_id="p", reason="a matter"
        )
        return task.execute({"ti": ti})["hold_id"]

    first = run_in("r", 1)
    assert run_in("r", 2) == first
    assert run_in("s", 1) != first
    assert len(list((tmp_path / "p").glob("_hold-*"))) == 2
