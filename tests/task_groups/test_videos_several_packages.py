"""The chain as one call for several packages: given as a list, by another task, or mapped in batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.simulator import Fault, IinkedSimulator

DAG_FILE = """
    # a dag of airflow
    from datetime import datetime
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
    from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

    @task
    def given(value):
        return value

    @task.branch
    def nowhere():
        return []

    with DAG(dag_id="{dag_id}", start_date=datetime(2026, 1, 1), schedule=None) as dag:
        chain = archive_and_delete_videos.override(group_id="chain")
        fixed = {"destination": "DESTINATION", "poke_interval": 0.2}
        BODY
"""
IN_EACH_MODE = pytest.mark.parametrize("mode", ["deferrable=True", "deferrable=False"])
Run = Callable[..., Any]


@pytest.fixture
def run(run_dag: Callable[..., Any], tmp_path: Path, quick: None) -> Run:
    def run_body(body: str, **again: Any) -> Any:
        text = DAG_FILE.replace("DESTINATION", f"file://{tmp_path}").replace("BODY", body)
        return run_dag(text, **again)

    return run_body


def states(result: Any) -> dict[str, str]:
    return {name.removeprefix("chain."): state for name, state in result.states.items() if name.startswith("chain.")}


@pytest.mark.parametrize(
    "call",
    [
        "chain(package_id=['p', 'q'], **fixed)",
        "chain(package_id=('p', 'q'), **fixed)",
        "chain(package_id=given(['p', 'q']), **fixed)",
        "chain.partial(**fixed).expand(package_id=[['p', 'q']])",
        "chain.partial(**fixed).expand(package_id=[['p'], 'q', []])",
        "chain.partial(**fixed).expand(package_id=given([['p'], ['q']]))",
        "chain.partial(**fixed).expand(package_id=IinkedListPackagesOperator(task_id='all', batch_size=2).output)",
        "chain.partial(**fixed).expand(package_id=IinkedListPackagesOperator(task_id='all').output)",
    ],
)
def test_packages_may_be_a_list_an_output_or_mapped(iinked_simulator: IinkedSimulator, run: Run, call: str) -> None:
    iinked_simulator.add_package("p", videos=["p1", "p2"])
    iinked_simulator.add_package("q", videos=["q1"])
    result = run(call)
    assert result.state == "success"
    assert {name.partition("[")[0] for name in states(result)} == {"wait", "download", "delete", "done"}
    assert sorted(iinked_simulator.ledger.deletions) == ["p1", "p2", "q1"]


def test_one_package_that_another_task_names_gives_the_response_of_one(
    iinked_simulator: IinkedSimulator, run: Run
) -> None:
    iinked_simulator.add_package("p", videos=["p1"])
    result = run("chain(package_id=given('p'), **fixed)")
    assert result.state == "success"
    assert result.xcom("chain.delete")["packageId"] == "p"


def test_no_package_does_nothing(iinked_simulator: IinkedSimulator, run: Run) -> None:
    result = run("chain(package_id=[], **fixed)")
    assert set(states(result).values()) == {"success"}
    assert not iinked_simulator.ledger.requests()


@IN_EACH_MODE
def test_a_package_that_is_not_ready_in_time_holds_up_no_other_one(
    iinked_simulator: IinkedSimulator, run: Run, mode: str
) -> None:
    iinked_simulator.add_package("late", videos=["old", {"meeting_video_id": "new", "state": "queued"}])
    iinked_simulator.add_package("good", videos=["good"])
    result = run(f"chain(package_id=['late', 'good'], timeout=1, {mode}, **fixed)")
    assert states(result) == {"wait": "failed", "download": "success", "delete": "success", "done": "upstream_failed"}
    assert result.state == "failed"
    assert iinked_simulator.ledger.deletions == ["good"]


@IN_EACH_MODE
def test_a_package_with_a_failed_recording_is_left_alone_and_holds_up_no_other_one(
    iinked_simulator: IinkedSimulator, run: Run, mode: str
) -> None:
    iinked_simulator.add_package("broken", videos=["whole", {"state": "failed"}])
    iinked_simulator.add_package("good", videos=["good"])
    result = run(f"chain.partial({mode}, **fixed).expand(package_id=[['broken', 'good']])")
    assert result.state == "failed"
    assert iinked_simulator.ledger.deletions == ["good"]


@IN_EACH_MODE
def test_a_wait_that_ends_for_all_packages_fails_alone_and_nothing_is_done(
    iinked_simulator: IinkedSimulator, run: Run, mode: str
) -> None:
    iinked_simulator.add_package("p", videos=["p1"])
    iinked_simulator.add_package("q", videos=["q1"])
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=401, package_id="p", on="always"))
    result = run(f"chain(package_id=['p', 'q'], {mode}, **fixed)")
    assert states(result) == {"wait": "failed", "download": "success", "delete": "success", "done": "upstream_failed"}
    assert result.state == "failed"
    assert iinked_simulator.ledger.requests(host="recordings") == []
    assert iinked_simulator.ledger.deletions == []


def test_what_names_no_package_is_refused_by_each_task(iinked_simulator: IinkedSimulator, run: Run) -> None:
    iinked_simulator.add_package("p", videos=["p1"])
    result = run("chain(package_id=given(None), **fixed)")
    assert states(result)["wait"] == "failed"
    assert result.state == "failed"
    assert not iinked_simulator.ledger.requests()


def test_a_group_that_a_branch_leaves_out_is_skipped_as_a_whole(iinked_simulator: IinkedSimulator, run: Run) -> None:
    iinked_simulator.add_package("p", videos=["p1"])
    result = run("nowhere() >> chain(package_id=['p'], **fixed)")
    assert set(states(result).values()) == {"skipped"}
    assert not iinked_simulator.ledger.requests()


def test_one_package_named_in_the_dag_file_has_the_three_tasks_only(
    run: Run, iinked_simulator: IinkedSimulator
) -> None:
    iinked_simulator.add_package("p", videos=["p1"])
    assert set(states(run("chain(package_id='p', **fixed)"))) == {"wait", "download", "delete"}
