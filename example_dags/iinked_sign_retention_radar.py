"""
### Every morning: which recordings end soon?

For those who only want to be warned. Lists all packages that have an archived recording, the one whose retention ends
first in front, and fails when one of them ends within ten days: the error names the packages, and whatever notifies you
of failed tasks (`on_failure_callback`, a notifier) passes it on. Nothing is copied or deleted.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator

with DAG(
    dag_id="iinked_sign_retention_radar",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule="0 7 * * *",
    catchup=False,
    tags=["iinked Sign", "example"],
):
    ends_soon = IinkedListPackagesOperator(
        task_id="ends_soon",
        all_members=True,
        with_archived_videos=True,
        batch_size=1000,
        fail_if_retention_within=10,
    )
