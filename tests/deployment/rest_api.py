"""Runs of Dags under a real scheduler, started, seen and answered through Airflow's REST API as one of two users."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.deployment import Deployment, until

PATIENCE = 180
USERS = ("ada", "bob")


def users(passwords: Path) -> dict[str, str]:
    """
    Let Airflow know the users, each an administrator with their name as the password.

    :param passwords: file that is written.
    :return: environment variables.
    """
    passwords.write_text(json.dumps({user: user for user in USERS}))
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:admin" for user in USERS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }


class Run:
    """One run of a Dag, seen and answered through the REST API."""

    approval = "approve"
    """Id of the task that asks."""

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
        self.wait(self.approval, "awaiting_input", "deferred")
        until(lambda: self._parked() > self.answered, PATIENCE, "the scheduler has heard of the question")
        found: dict[str, Any] = self.airflow.call("GET", f"{self.path}/taskInstances/{self.approval}/-1/hitlDetails")
        return found

    def _parked(self) -> int:
        """How often the scheduler has noted the end of a worker's part of the approval."""
        lines = (self.airflow.deployment.home / "scheduler.log").read_text().splitlines()
        named = [line for line in lines if "Received executor event" in line and f"run_id='{self.run_id}'" in line]
        return sum(f"task_id='{self.approval}'" in line for line in named)

    def answer(self, option: str, user: str = "ada", **params: str) -> int:
        """Answer as the page does, with the form's fields as they are shown."""
        shown = self.wait_for_question()["params"]
        fields = {
            name: param.get("value", param) if isinstance(param, dict) else param for name, param in shown.items()
        }
        body = {"chosen_options": [option], "params_input": {**fields, **params}}
        code = self.airflow.status("PATCH", f"{self.path}/taskInstances/{self.approval}/-1/hitlDetails", body, user)
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
