"""
### One package: wait, download and verify, delete exactly what was verified

1. **wait** until all recordings of the package are archived;
2. **download** each of them below the Airflow variable `iinked_destination`, with a custody record beside each copy;
3. **delete** exactly the originals of these copies from iinked Sign; each copy is verified again immediately before.

Trigger it with the id of a package. It can be cleared at any point: whole copies are kept, deletions are not repeated.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

with DAG(
    dag_id="iinked_sign_chain",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["iinked Sign", "example"],
    params={"package_id": "11111111-1111-4111-8111-111111111111"},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    wait = IinkedVideosArchivedSensor(
        task_id="wait",
        package_id="{{ params.package_id }}",
        # Frees the worker between two pokes. With a triggerer, deferrable=True costs even less.
        mode="reschedule",
        poke_interval=15,
        timeout=timedelta(days=2).total_seconds(),
    )
    download = IinkedDownloadVideosOperator(
        task_id="download",
        package_id="{{ params.package_id }}",
        destination="{{ var.value.iinked_destination }}",
        package_fields=["name", "matterNumber"],
    )
    delete = IinkedDeleteVideosOperator(
        task_id="delete",
        verified_copies=download.output,
    )

    # `delete` follows `download` because it takes its output.
    wait >> download
