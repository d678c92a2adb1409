"""The chain as one call, run by Airflow: plain, mapped, cleared, with its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_iinked.simulator import IinkedSimulator

AIRFLOW = tuple(map(int, airflow_version.split(".")[:2]))
HEAD = """
    # a dag of airflow
    from datetime import datetime
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

    with DAG(dag_id="{dag_id}", start_date=datetime(2026, 1, 1), schedule=None) as dag:
"""


@pytest.fixture
def run_chain(
    run_dag: Callable[..., Any], iinked_simulator: IinkedSimulator, tmp_path: Path, quick: None
) -> Callable[..., Any]:
    def run(body: str, **again: Any) -> Any:
        return run_dag(HEAD + "        " + body.replace("DESTINATION", f"file://{tmp_path}"), **again)

    return run


@pytest.mark.parametrize("deferrable", [True, False, None])
def test_one_line_is_the_whole_chain(
    iinked_simulator: IinkedSimulator, run_chain: Callable[..., Any], tmp_path: Path, deferrable: bool | None
) -> None:
    package = iinked_simulator.add_package(videos=["a", {"meeting_video_id": "b", "archive_after": 1}])
    result = run_chain(
        f"archive_and_delete_videos(package_id={package!r}, destination='DESTINATION', "
        f"poke_interval=0.5, deferrable={deferrable})"
    )
    assert result.state == "success"
    assert sorted(iinked_simulator.ledger.deletions) == ["a", "b"]
    assert {path.name for path in (tmp_path / package).glob("*.mp4")} == {"a.mp4", "b.mp4"}


def test_it_maps_over_packages(iinked_simulator: IinkedSimulator, run_chain: Callable[..., Any]) -> None:
    packages = [iinked_simulator.add_package(videos=[f"v{number}"]) for number in range(3)]
    result = run_chain(
        f"archive_and_delete_videos.partial(destination='DESTINATION', poke_interval=0.5, deferrable=True)"
        f".expand(package_id={packages})"
    )
    assert result.state == "success"
    assert len(result.states) == 12
    assert sorted(iinked_simulator.ledger.deletions) == ["v0", "v1", "v2"]


def test_a_package_that_fails_holds_up_no_other(
    iinked_simulator: IinkedSimulator, run_chain: Callable[..., Any]
) -> None:
    good = iinked_simulator.add_package(videos=["good"])
    bad = iinked_simulator.add_package(videos=[{"meeting_video_id": "bad", "state": "failed"}])
    result = run_chain(f"archive_and_delete_videos.partial(destination='DESTINATION').expand(package_id={[bad, good]})")
    assert result.state == "failed"
    assert iinked_simulator.ledger.deletions == ["good"]


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    "mapped", ["package_id=[GOOD, None, 'None', '']", "meeting_video_ids=['good', None, 'None', '']"]
)
def test_what_a_mapping_leaves_empty_is_refused_and_the_rest_goes_on(
    iinked_simulator: IinkedSimulator, run_chain: Callable[..., Any], mapped: str, deferrable: bool
) -> None:
    package = iinked_simulator.add_package(videos=["good"])
    fixed = "" if "package_id" in mapped else f"package_id={package!r}, "
    result = run_chain(
        f"archive_and_delete_videos.partial(destination='DESTINATION', {fixed}deferrable={deferrable})"
        f".expand({mapped.replace('GOOD', repr(package))})"
    )
    states = [result.states[f"archive_and_delete_videos.wait[{number}]"] for number in range(4)]
    assert states == ["success", "failed", "failed", "failed"]
    assert iinked_simulator.ledger.deletions == ["good"]
    assert {record.package_id for record in iinked_simulator.ledger.requests()} == {package}


def test_cleared_after_its_end_it_runs_to_its_end_again(
    iinked_simulator: IinkedSimulator, run_chain: Callable[..., Any]
) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    line = f"archive_and_delete_videos(package_id={package!r}, destination='DESTINATION', meeting_video_ids=['a'])"
    first = run_chain(line)
    again = run_chain(line, again=first)
    assert (first.state, again.state) == ("success", "success")
    assert len(iinked_simulator.ledger.delete_requests) == 1
    assert again.xcom("archive_and_delete_videos.download")[0]["meeting_video_id"] == "a"


def test_a_preview_deletes_nothing(iinked_simulator: IinkedSimulator, run_chain: Callable[..., Any]) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    result = run_chain(f"archive_and_delete_videos(package_id={package!r}, destination='DESTINATION', preview=True)")
    assert result.state == "success"
    assert not iinked_simulator.ledger.delete_requests


def test_failed_recordings_may_be_left_out_of_a_selection(
    iinked_simulator: IinkedSimulator, run_chain: Callable[..., Any]
) -> None:
    package = iinked_simulator.add_package(videos=["a", {"meeting_video_id": "b", "state": "failed"}])
    result = run_chain(
        f"archive_and_delete_videos(package_id={package!r}, destination='DESTINATION', "
        "meeting_video_ids=['a', 'b'], on_failed='ignore')"
    )
    assert result.state == "success"
    assert iinked_simulator.ledger.deletions == ["a"]


def test_another_name_and_default_arguments_go_through_override(run_dag: Callable[..., Any]) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

    with DAG(dag_id="named", schedule=None) as dag:
        archive_and_delete_videos.override(group_id="evidence", default_args={"retries": 4})(
            package_id="p", destination="file:///x"
        )
    assert set(dag.task_ids) == {"evidence.wait", "evidence.download", "evidence.delete"}
    assert {task.retries for task in dag.tasks} == {4}
    assert dag.get_task("evidence.delete").upstream_task_ids == {"evidence.download"}


def _tasks_of(**arguments: Any) -> Any:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

    with DAG(dag_id="approved", schedule=None) as dag:
        archive_and_delete_videos(package_id=["p", "q"], destination=["file:///x", "s3://b/x"], **arguments)
    return {task.task_id.rpartition(".")[2]: task for task in dag.tasks}


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="approval needs Airflow 3.1")
def test_an_approval_stands_between_a_preview_and_the_deletion() -> None:
    people = [{"id": "ada", "name": "Ada"}]
    tasks = _tasks_of(approval=people, require_other_person=True, min_copies=2)
    order = {name: {one.rpartition(".")[2] for one in task.upstream_task_ids} for name, task in tasks.items()}
    assert order["preview"] == {"wait", "download"}
    assert order["approve"] == {"preview"}
    assert {"approve"} <= order["delete"] <= {"approve", "download", "wait"}
    assert (tasks["preview"].preview, tasks["delete"].preview) == (True, False)
    assert (tasks["preview"].min_copies, tasks["delete"].min_copies) == (2, 2)
    assert tasks["approve"].require_other_person is True
    assert [dict(user) for user in tasks["approve"].assigned_users] == people


@pytest.mark.skipif(AIRFLOW >= (3, 1), reason="this Airflow has approvals")
def test_below_airflow_3_1_an_approval_is_a_clear_error_at_parse_time() -> None:
    with pytest.raises(ImportError, match=r"Airflow 3\.1 or newer"):
        _tasks_of(approval=True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"approval": []}, "given, and empty"),
        ({"approval": None}, "given, and empty"),
        ({"approval": "ada"}, "given, and empty or no list"),
        ({"require_other_person": True}, "need approval"),
        ({"approval": True, "preview": True}, "does not go with preview"),
    ],
    ids=str,
)
def test_an_approval_is_requested_in_full_or_not_at_all(arguments: dict[str, Any], reason: str) -> None:
    from airflow_provider_iinked.exceptions import InvalidArgumentError

    with pytest.raises(InvalidArgumentError, match=reason):
        _tasks_of(**arguments)
