"""
A person's approval under a real scheduler and API server, answered through Airflow's REST API as its page does.

Airflow 3.1 and newer. The first test deletes; every other one ends with nothing deleted.
"""

from __future__ import annotations

import json
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.deployment import Deployment, running, until

pytestmark = pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 1), reason="approval needs Airflow 3.1"
)

PATIENCE = 180
USERS = ("ada", "bob")
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
        "approval_timeout": {"response_timeout": timedelta(seconds=5)},
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


class Run:
    """One run of a Dag, seen and answered through the REST API."""

    def __init__(self, airflow: Api, dag_id: str, run_id: str, package: str, videos: list[str], folder: Path) -> None:
        self.airflow = airflow
        self.path = f"/dags/{dag_id}/dagRuns/{run_id}"
        self.dag_id, self.run_id = dag_id, run_id
        self.answered = 0
        self.package, self.videos, self.folder = package, videos, folder

    def states(self) -> dict[str, str]:
        found = self.airflow.call("GET", f"{self.path}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in found}

    def wait(self, task_id: str, *states: str) -> str:
        def reached() -> str | None:
            state = self.states().get(task_id)
            return state if state in states else None

        try:
            return str(until(reached, PATIENCE, f"{task_id} is {' or '.join(states)}"))
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.states()}\n{self.airflow.deployment.logs()}") from None

    def wait_for_question(self) -> dict[str, Any]:
        """
        Wait until a person can answer, and the scheduler has noted that the worker is done.

        Airflow itself fails a task that goes on before its scheduler has heard that it was parked
        (apache/airflow#66374, #67287); no person answers that fast.
        """
        self.wait("approve", "awaiting_input", "deferred")
        until(lambda: self._parked() > self.answered, PATIENCE, "the scheduler has heard of the question")
        found: dict[str, Any] = self.airflow.call("GET", f"{self.path}/taskInstances/approve/-1/hitlDetails")
        return found

    def _parked(self) -> int:
        """How often the scheduler has noted the end of a worker's part of the approval."""
        lines = (self.airflow.deployment.home / "scheduler.log").read_text().splitlines()
        named = [line for line in lines if "Received executor event" in line and f"run_id='{self.run_id}'" in line]
        return sum("task_id='approve'" in line for line in named)

    def answer(self, option: str, user: str = "ada", **params: str) -> int:
        """Answer as the page does, with the form's fields as they are shown."""
        shown = self.wait_for_question()["params"]
        fields = {
            name: param.get("value", param) if isinstance(param, dict) else param for name, param in shown.items()
        }
        body = {"chosen_options": [option], "params_input": {**fields, **params}}
        code = self.airflow.status("PATCH", f"{self.path}/taskInstances/approve/-1/hitlDetails", body, user)
        # An answer starts the task's second part, whose end the scheduler notes as well.
        self.answered += 2 if code == 200 else 0
        return code

    def clear(self, *task_ids: str) -> None:
        body = {"dry_run": False, "only_failed": False, "dag_run_id": self.run_id, "task_ids": list(task_ids)}
        self.airflow.call("POST", f"/dags/{self.dag_id}/clearTaskInstances", body)

    def log(self, task_id: str) -> str:
        """All logs of a task, of every try."""
        folder = self.airflow.deployment.home / "logs"
        return "".join(
            path.read_text()
            for path in folder.rglob("*.log")
            if f"run_id={self.run_id}" in str(path) and f"task_id={task_id}/" in str(path)
        )


class Api:
    """Airflow's REST API, as one of several users."""

    def __init__(self, deployment: Deployment, sim: IinkedSimulator, folder: Path) -> None:
        self.deployment, self.sim, self.folder = deployment, sim, folder
        self.url = f"http://127.0.0.1:{deployment.port}"
        self.tokens = {user: self._token(user) for user in USERS}

    def _token(self, user: str) -> str:
        body = {"username": user, "password": user}
        return str(self._send("POST", "/auth/token", body, {})[1]["access_token"])

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self, method: str, path: str, body: Any = None, user: str = "ada") -> int:
        return self._send(method, f"/api/v2{path}", body, {"Authorization": f"Bearer {self.tokens[user]}"})[0]

    def call(self, method: str, path: str, body: Any = None, user: str = "ada") -> Any:
        code, answer = self._send(method, f"/api/v2{path}", body, {"Authorization": f"Bearer {self.tokens[user]}"})
        assert code < 300, f"{method} {path}: {code} {answer}"
        return answer

    def start(self, dag_id: str, user: str = "ada", videos: int = 2) -> Run:
        package = self.sim.add_package()
        made = [self.sim.add_video(package) for _ in range(videos)]
        other = self.sim.add_package()
        self.sim.add_video(other)
        until(lambda: self.status("GET", f"/dags/{dag_id}") == 200, PATIENCE, f"{dag_id} is parsed")
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        conf = {"package": package, "other": other, "destination": f"file://{self.folder}"}
        run_id = f"run-{package}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self.call("POST", f"/dags/{dag_id}/dagRuns", body, user)
        return Run(self, dag_id, run_id, package, made, self.folder / package)


@pytest.fixture(scope="module")
def api(sim: IinkedSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("approval")
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({user: user for user in USERS}))
    users = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:admin" for user in USERS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    with running({**sim.connection_env(), **users}) as deployment:
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


def test_no_answer_in_time_deletes_nothing(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_timeout")
    run.wait("approve", "failed")
    run.wait("delete", "upstream_failed")
    assert deleted() == []


def test_a_user_who_is_not_assigned_is_turned_away(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_assigned")
    assert run.answer("Approve", user="bob") == 403
    assert run.states()["delete"] is None
    assert deleted() == []


def test_the_user_who_triggered_the_run_may_not_approve_it(api: Api, deleted: Callable[[], list[str]]) -> None:
    run = api.start("approval_other_person", user="ada")
    assert run.answer("Approve", user="ada") == 200
    run.wait("approve", "failed")
    assert "may not approve" in run.log("approve") or "does not say who triggered" in run.log("approve")
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
