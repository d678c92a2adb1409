"""
### One package: wait, download and prove, delete exactly what was proved

1. **wait** until all recordings of the package are archived;
2. **download** each of them below the Airflow variable `iinked_destination`, with a custody record beside each copy;
3. **delete** from iinked Sign exactly those copies' sources; each copy is read again a moment before.

Trigger it with the id of a package. Clearing it is safe at any point: what is copied is kept, what is deleted is done.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

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
        # Between two looks no worker is held. With a triggerer, deferrable=True is lighter still.
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
