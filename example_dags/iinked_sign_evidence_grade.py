"""
### Evidence grade: two stores, a lock, a person's yes (Airflow 3.1 and newer)

1. **wait** until all recordings of the package are archived;
2. **download** each of them to two stores, which lock their copies for ten years;
3. **preview** lists and verifies all that would be deleted, and sends nothing;
4. **approve** shows that plan to a person, who may not be the one who triggered the run;
5. **delete** deletes exactly what was approved, and only while list and copies are still as they were shown.

Needs the Airflow variables `iinked_destination` and `iinked_second_destination`: two buckets with Object Lock, not in
one failure domain. `COMPLIANCE` cannot be undone by anybody before the time; try it out with `GOVERNANCE`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

with DAG(
    dag_id="iinked_sign_evidence_grade",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["iinked Sign", "example"],
    params={"package_id": Param("11111111-1111-4111-8111-111111111111", type="string")},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
) as dag:
    archive_and_delete_videos(
        package_id="{{ params.package_id }}",
        destination=["{{ var.value.iinked_destination }}", "{{ var.value.iinked_second_destination }}"],
        retain_for="P10Y",
        retention_mode="COMPLIANCE",
        min_copies=2,
        approval=True,
        require_other_person=True,
        response_timeout=timedelta(days=7),
    )
