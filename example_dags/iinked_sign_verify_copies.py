"""
### Read the copies again, once a month

Copies are evidence for years. Every copy below the Airflow variable `iinked_destination` is read again and compared
with its custody record; the task fails when one has changed or is missing, and names it. It needs no connection to the
platform.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.operators.custody import IinkedVerifyCopiesOperator

with DAG(
    dag_id="iinked_sign_verify_copies",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule="@monthly",
    catchup=False,
    tags=["iinked Sign", "example"],
):
    verify = IinkedVerifyCopiesOperator(task_id="verify", destination="{{ var.value.iinked_destination }}")
