"""What a Dag run left in Airflow's database; run as a process of its own, since this one imports Airflow."""

from __future__ import annotations

import json
import sys
from typing import Any


def read_last_run(dag_id: str) -> dict[str, Any]:
    """
    Read the latest run of a Dag.

    :param dag_id: the Dag.
    :return: the run's id and state, and for each task its state, seconds and XCom, in the order they started.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        run = session.scalars(select(DagRun).filter_by(dag_id=dag_id).order_by(DagRun.id.desc())).first()
        if run is None:
            return {"run_id": None, "state": "never started", "tasks": {}}
        where = {"dag_id": dag_id, "run_id": run.run_id}
        pushed = session.scalars(select(XComModel).filter_by(key="return_value", **where))
        xcoms = {row.task_id: XComModel.deserialize_value(row) for row in pushed}
        instances = session.scalars(select(TaskInstance).filter_by(**where).order_by(TaskInstance.start_date))
        # A task that looks again and again starts again each time; its time runs from the first look.
        looks = session.scalars(select(TaskReschedule).order_by(TaskReschedule.id.desc()))
        first_look = {look.ti_id: look.start_date for look in looks}
        tasks = {
            ti.task_id: {
                "state": str(ti.state),
                "start": start.timestamp() if (start := first_look.get(ti.id, ti.start_date)) else None,
                "end": ti.end_date.timestamp() if ti.end_date else None,
                "xcom": xcoms.get(ti.task_id),
            }
            for ti in instances
        }
        return {"run_id": run.run_id, "state": str(run.state), "tasks": tasks}


if __name__ == "__main__":
    # Airflow may print to stdout while it is imported; the outcome is the last line.
    print(json.dumps(read_last_run(sys.argv[1])))
