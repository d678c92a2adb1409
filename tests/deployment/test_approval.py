"""
A person's approval under a real scheduler and API server, answered through Airflow's REST API as its page does.

Airflow 3.1 and newer. Only what an allowed person approved, and what is still as it was shown, is deleted.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.deployment import running
from tests.deployment.rest_api import Api, users

AIRFLOW = tuple(map(int, airflow_version.split(".")[:2]))
pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="approval needs Airflow 3.1")

DAGS = """
    # a dag of airflow
    from datetime import datetime, timedelta
    from airflow.sdk import DAG
    from airflow_provider_iinked.operators.approval import IinkedApproveDeletionOperator
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator

    try:
        from airflow.sdk.execution_time.hitl import HITLUser
    except ImportError:
        HITLUser = dict

    PACKAGE = "{{ dag_run.conf['package'] }}"
    KINDS = {
        "approval": {},
        "approval_assigned": {"assigned_users": [HITLUser(id="ada", name="ada")]},
        "approval_other_person": {"require_other_person": True},
        "approval_timeout": {
            "response_timeout": timedelta(seconds=20), "retries": 2, "retry_delay": timedelta(hours=1)
        },
        "approval_timeout_rejects": {"response_timeout": timedelta(seconds=20), "defaults": "Reject"},
    }
    for dag_id, arguments in KINDS.items():
        # A Dag's params are its tasks' params too, and must not get into the form.
        with DAG(dag_id=dag_id, start_date=datetime(2026, 1, 1), schedule=None, params={"matter": "M-1"}):
            copies = IinkedDownloadVideosOperator(
                task_id="download", package_id=PACKAGE, destination="{{ dag_run.conf['destination'] }}"
            ).output
            preview = IinkedDeleteVideosOperator(task_id="preview", verified_copies=copies, preview=True)
            approve = IinkedApproveDeletionOperator(task_id="approve", plan=preview.output, **arguments)
            IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies, approval=approve.output)

    for dag_id, deleted in (("approval_all", PACKAGE), ("approval_other_package", "{{ dag_run.conf['other'] }}")):
        with DAG(dag_id=dag_id, start_date=datetime(2026, 1, 1), schedule=None):
            preview = IinkedDeleteVideosOperator(
                task_id="preview", package_id=PACKAGE, delete_all=True, preview=True
            )
            approve = IinkedApproveDeletionOperator(task_id="approve", plan=preview.output)
            IinkedDeleteVideosOperator(
                task_id="delete", package_id=deleted, delete_all=True, approval=approve.output
            )
"""


@pytest.fixture(scope="module")
def api(sim: IinkedSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("approval")
    with running({**sim.connection_env(), **users(folder / "passwords.json")}) as deployment:
        (deployment.dags / "approval.py").write_text(textwrap.dedent(DAGS))
        yield Api(deployment, sim, folder / "copies")


@pytest.fixture
def deleted(sim: IinkedSimulator) -> Callable[[], list[str]]:
    """The deletions that reached the service since the test began."""
    before = len(sim.ledger.delete_requests)
    return lambda: [str(request.video_id) for request in sim.ledger.delete_requests[before:]]


def test_an_approved_deletion_deletes_what_was_shown(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval")
    question = run.wait_for_question()
    assert all(video in question["body"].replace("\\", "") for video in run.videos)
    assert run.answer("Approve") == 200
    run.wait("delete", "success")
    assert sorted(deleted()) == sorted(run.videos)
    receipt = json.loads((run.folder / f"{run.videos[0]}.deletion.json").read_text())
    assert (receipt["status"], receipt["approval"]["responded_by"]) == ("deleted", "ada")


def test_a_rejection_skips_the_deletion(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval")
    assert run.answer("Reject") == 200
    run.wait("delete", "skipped")
    assert deleted() == []


def test_no_answer_in_time_deletes_nothing_and_nobody_is_asked_again(
    api: Api, deleted: Callable[[], list[str]]
) -> None:
    run = api.start("approval_timeout")
    run.wait("approve", "failed")
    assert "Nobody answered within response_timeout" in run.log("approve")
    run.wait("delete", "upstream_failed")
    assert deleted() == []


def test_no_answer_in_time_is_a_rejection_where_the_dag_says_so(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_timeout_rejects")
    run.wait("approve", "success")
    run.wait("delete", "skipped")
    assert deleted() == []


def test_a_plan_without_recordings_asks_nobody_and_deletes_nothing(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_all", videos=0)
    run.wait("delete", "success")
    assert "nothing to approve" in run.log("approve")
    assert deleted() == []


def test_a_user_who_is_not_assigned_is_turned_away(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_assigned")
    assert run.answer("Approve", user="bob") == 403
    assert run.states()["delete"] is None
    assert deleted() == []


def test_an_assigned_user_may_approve(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_assigned", user="bob")
    assert run.answer("Approve", user="ada") == 200
    run.wait("delete", "success")
    assert sorted(deleted()) == sorted(run.videos)


def test_another_user_than_the_one_who_triggered_the_run_may_approve_it(
    api: Api, deleted: Callable[[], list[str]]
) -> None:
    run = api.start("approval_other_person", user="ada")
    assert run.answer("Approve", user="bob") == 200
    run.wait("delete", "success")
    assert sorted(deleted()) == sorted(run.videos)


def test_the_user_who_triggered_the_run_may_not_approve_it(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_other_person", user="ada")
    assert run.answer("Approve", user="ada") == 200
    run.wait("approve", "failed")
    assert "ada triggered this run and may not approve it" in run.log("approve")
    run.wait("delete", "upstream_failed")
    assert deleted() == []


def test_a_digest_that_is_edited_in_the_form_is_refused(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval")
    assert run.answer("Approve", plan_sha256="0" * 64) == 200
    run.wait("approve", "failed")
    run.wait("delete", "upstream_failed")
    assert deleted() == []


def test_a_recording_that_appears_between_plan_and_answer_deletes_nothing(
    api: Api, deleted: Callable[[], list[str]]
) -> None:
    run = api.start("approval_all")
    run.wait_for_question()
    late = api.sim.add_video(run.package)
    assert run.answer("Approve") == 200
    run.wait("delete", "failed")
    assert f"not in the approved plan: {run.package}/{late}" in run.log("delete")
    assert deleted() == []


def test_a_recording_that_goes_between_plan_and_answer_deletes_nothing(
    api: Api, deleted: Callable[[], list[str]]
) -> None:
    run = api.start("approval_all")
    run.wait_for_question()
    api.sim.remove_video(run.package, run.videos[0])
    assert run.answer("Approve") == 200
    run.wait("delete", "failed")
    assert f"{run.package}/{run.videos[0]}" in run.log("delete")
    assert deleted() == []


def test_a_copy_that_changes_between_plan_and_answer_deletes_nothing(
    api: Api, deleted: Callable[[], list[str]]
) -> None:
    run = api.start("approval")
    run.wait_for_question()
    (run.folder / f"{run.videos[1]}.mp4").write_bytes(b"changed")
    assert run.answer("Approve") == 200
    run.wait("delete", "failed")
    assert "no longer there as it was" in run.log("delete")
    assert deleted() == []


def test_an_answer_to_the_old_text_of_a_cleared_approval_is_refused(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_all")
    assert run.answer("Reject") == 200
    run.wait("delete", "skipped")
    late = api.sim.add_video(run.package)
    run.clear("preview", "approve", "delete")
    run.wait("preview", "success")
    shown = run.wait_for_question()["body"].replace("\\", "")
    assert (late in shown) is (AIRFLOW >= (3, 4)), "the docs say up to which Airflow the old text is shown"
    assert run.answer("Approve") == 200
    if late in shown:
        # Airflow 3.4.0b2 shows the new text: it asks about the new plan, and its answer is good.
        run.wait("delete", "success")
        assert sorted(deleted()) == sorted([*run.videos, late])
    else:
        run.wait("approve", "failed")
        assert "another plan" in run.log("approve")
        run.wait("delete", "upstream_failed")
        assert deleted() == []


def test_the_same_approval_used_twice_deletes_nothing_more(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_all")
    assert run.answer("Approve") == 200
    run.wait("delete", "success")
    late = api.sim.add_video(run.package)
    run.clear("delete")
    run.wait("delete", "failed")
    assert late not in deleted()
    assert sorted(deleted()) == sorted(run.videos)


def test_the_approval_of_another_package_deletes_nothing(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_other_package")
    assert run.answer("Approve") == 200
    run.wait("delete", "failed")
    assert "another plan" in run.log("delete")
    assert deleted() == []
