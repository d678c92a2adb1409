"""
### The whole chain as one call, for one package and for many

`archive_and_delete_videos` waits until a package's recordings are archived, downloads and verifies them, and deletes
exactly what was verified. Trigger it with the ids of packages; the copies go below the Airflow variable
`iinked_destination`.

`deferrable=True` needs a triggerer; a thousand packages can then wait without a worker.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

with DAG(
    dag_id="iinked_sign_task_group",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    # How many packages are copied or deleted at a time.
    max_active_tasks=8,
    tags=["iinked Sign", "example"],
    params={"package_ids": Param([], type="array", items={"type": "string"}, maxItems=1024)},
):

    @task
    def packages(params: dict[str, Any]) -> list[str]:
        # A list cannot go through a template: it would arrive as text.
        return list(params["package_ids"])

    archive_and_delete_videos.override(default_args={"retries": 2, "retry_delay": timedelta(minutes=5)}).partial(
        destination="{{ var.value.iinked_destination }}",
        poke_interval=15,
        timeout=timedelta(days=2).total_seconds(),
        deferrable=True,
    ).expand(package_id=packages())
