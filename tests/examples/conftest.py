from __future__ import annotations

import importlib.util
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow import __version__ as airflow_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# An import names, in its comment, where Airflow 2.11 has the same.
ON_AIRFLOW_2 = re.compile(r"from \S+( import .*?)  # Airflow 2\.11: (from \S+)$", re.MULTILINE)
EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
PLACES = ("destination", "receipts")


def load(name: str) -> ModuleType:
    """Paste an example into the Dags folder, as a user would, and import it; only its retries are left out."""
    pasted = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / f"{name}.py"
    text = (EXAMPLES / pasted.name).read_text().replace('"retries": 2', '"retries": 0')
    if airflow_version.startswith("2."):
        text = ON_AIRFLOW_2.sub(r"\2\1", text)
    pasted.write_text(text)
    spec = importlib.util.spec_from_file_location(name, pasted)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def dag_of(module: ModuleType) -> Any:
    """Its Dag; ``with DAG(...):`` gives it no name of its own, but each of its tasks knows it."""
    return next(value.dag for value in vars(module).values() if getattr(value, "task_id", None) and value.has_dag())


def describe(run: Any) -> dict[str, Any]:
    """State of the run, and state and XCom of each task instance, mapped ones as ``task[0]``."""
    tasks = {}
    for ti in run.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
        tasks[name] = {"state": str(ti.state), "xcom": xcom(ti)}
    return {"state": str(run.state), "tasks": tasks}


def xcom(ti: Any) -> Any:
    where = {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    try:
        from airflow.models.xcom import XComModel
    except ImportError:
        from airflow.models.xcom import XCom

        return XCom.get_one(key="return_value", **where)
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        row = session.scalar(select(XComModel).filter_by(key="return_value", **where))
        return None if row is None else XComModel.deserialize_value(row)


@pytest.fixture
def run_example(
    airflow_db: None, iinked_simulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, Any]]]:
    """Run an example Dag against the simulator, once for each configuration given."""
    for name in PLACES:
        monkeypatch.setenv(f"AIRFLOW_VAR_IINKED_{name.upper()}", f"file://{tmp_path}/{name}")

    def run(name: str, *configurations: dict[str, Any]) -> list[dict[str, Any]]:
        return [describe(dag_of(load(name)).test(run_conf=conf)) for conf in configurations or [{}]]

    return run


def answer_questions(
    monkeypatch: pytest.MonkeyPatch, name: str, option: Callable[[], str], before: Callable[[], Any] = lambda: None
) -> None:
    """Let a person answer each approval at once; Airflow's own part of it is left out."""
    from airflow.providers.standard.operators.hitl import HITLOperator

    def execute(operator: Any, context: Any) -> Any:
        before()
        event = {
            "chosen_options": [option()],
            "params_input": {"plan_sha256": operator.params["plan_sha256"]},
            "responded_by_user": {"id": name, "name": name},
            "responded_at": datetime.now(UTC),
            "timedout": False,
        }
        return operator.execute_complete(context, event)

    monkeypatch.setattr(HITLOperator, "execute", execute)
