"""
### Every night: all packages that have something archived

Lists the packages that have an archived recording, the one whose retention ends first in front, in batches of 50. For
each batch one task downloads and verifies, and one deletes. It does not wait: what is not archived tonight is taken
tomorrow. A failing package does not stop the others of its batch: the task names it and fails at its end, what was
verified is deleted all the same, and a retry works on what is left.

The copies go below the Airflow variable `iinked_destination`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator  # Airflow 2.11: from airflow.operators.empty
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
    # How many batches are worked on at a time.
    max_active_tasks=8,
    tags=["iinked Sign", "example"],
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        # A batch is finished before the next one is begun: what a night does, it does whole.
        "weight_rule": "upstream",
    },
):
    packages = IinkedListPackagesOperator(
        task_id="packages",
        all_members=True,
        with_archived_videos=True,
        batch_size=50,
    )

    @task_group
    def archive(package_ids: list[str]) -> None:
        download = IinkedDownloadVideosOperator(
            task_id="download",
            package_id=package_ids,
            destination="{{ var.value.iinked_destination }}",
        )
        delete = IinkedDeleteVideosOperator(
            task_id="delete",
            verified_copies=download.output,
            # A download that failed for one package still hands over what it verified of the others.
            trigger_rule="all_done",
        )
        # The state of a run is that of its last tasks: without this one, a failed download would not show in it.
        [download, delete] >> EmptyOperator(task_id="done")

    archive.expand(package_ids=packages.output)
