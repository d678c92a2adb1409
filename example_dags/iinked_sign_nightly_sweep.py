"""
### Every night: all packages that have something archived

Lists the packages that have an archived recording, then downloads, verifies and deletes for each of them.
It does not wait: what is not archived tonight is taken tomorrow. A failing package does not stop the others.

The copies go below the Airflow variable `iinked_destination`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, task_group  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator

with DAG(
    dag_id="iinked_sign_nightly_sweep",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule="30 2 * * *",
    catchup=False,
    # Two sweeps at once would do the same work twice.
    max_active_runs=1,
    # How many packages are worked on at a time.
    max_active_tasks=8,
    tags=["iinked Sign", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    packages = IinkedListPackagesOperator(
        task_id="packages",
        all_members=True,
        with_archived_videos=True,
    )

    @task_group
    def archive(package_id: str) -> None:
        download = IinkedDownloadVideosOperator(
            task_id="download",
            package_id=package_id,
            destination="{{ var.value.iinked_destination }}",
        )
        IinkedDeleteVideosOperator(
            task_id="delete",
            verified_copies=download.output,
        )

    archive.expand(package_id=packages.output)
