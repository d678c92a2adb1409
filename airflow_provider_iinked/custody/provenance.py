"""Who acts: the running task, read from Airflow's context, which may be empty."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from airflow_provider_iinked.custody.record import TaskIdentity


def task_identity(context: Mapping[str, Any]) -> TaskIdentity:
    """
    Read the running task out of a context.

    :param context: Airflow's context; may be empty.
    :return: the stamp; fields that the context does not tell are None.
    """
    ti = context.get("ti") or context.get("task_instance")
    if ti is None:
        return TaskIdentity()
    return TaskIdentity(
        dag_id=getattr(ti, "dag_id", None),
        run_id=getattr(ti, "run_id", None),
        task_id=getattr(ti, "task_id", None),
        map_index=getattr(ti, "map_index", None),
        try_number=getattr(ti, "try_number", None),
    )


def temp_file_token(stamp: TaskIdentity) -> str | None:
    """
    Make the mark that temporary names of this task carry; all tries of one task instance share it.

    :param stamp: the running task.
    :return: a short text for file names; None outside a Dag run.
    """
    if stamp.run_id is None:
        return None
    key = f"{stamp.dag_id}\0{stamp.run_id}\0{stamp.task_id}\0{stamp.map_index}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]
