"""
### One package, found by your own number

For systems that know a matter number and not the package's id. Trigger it with the number.

The search of the API is full text, so it may find more than the number, or nothing. **exactly_one** lets the chain
begin only when one package matches.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, task  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

with DAG(
    dag_id="iinked_sign_by_matter_number",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["iinked Sign", "example"],
    params={"matter_number": Param("M-1002", type="string", minLength=3)},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    found = IinkedListPackagesOperator(task_id="find", search="{{ params.matter_number }}", all_members=True)

    @task(retries=0)
    def exactly_one(package_ids: list[str]) -> str:
        if len(package_ids) != 1:
            raise ValueError(f"One package was meant, {len(package_ids)} match: {package_ids}")
        return package_ids[0]

    archive_and_delete_videos(
        package_id=exactly_one(found.output),
        destination="{{ var.value.iinked_destination }}",
        poke_interval=60,
    )
