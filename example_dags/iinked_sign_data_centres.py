"""
### Several data centres

One connection each, one chain each, every night. A custody record names the API that its recording came from, and a
deletion through another connection is refused; each data centre has a folder of its own.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

with DAG(
    dag_id="iinked_sign_data_centres",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule="@daily",
    catchup=False,
    max_active_tasks=8,
    tags=["iinked Sign", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    for region in ("us", "eu"):
        packages = IinkedListPackagesOperator(
            task_id=f"packages_{region}",
            iinked_sign_conn_id=f"iinked_sign_{region}",
            all_members=True,
            with_archived_videos=True,
        )
        archive_and_delete_videos.override(group_id=f"archive_{region}").partial(
            iinked_sign_conn_id=f"iinked_sign_{region}",
            destination="{{ var.value.iinked_destination }}/" + region,
            timeout=timedelta(hours=20).total_seconds(),
        ).expand(package_id=packages.output)
