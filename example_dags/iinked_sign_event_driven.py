"""
### Take recordings as soon as they are archived, without a schedule (Airflow 3)

A watcher in the triggerer polls all packages and sends an event when recordings become archived. Each event starts a
run of this Dag, which downloads and verifies exactly these recordings and deletes their originals. One run may get
several events. An event may come twice, for example after a crash of the triggerer; nothing is done twice then.

The copies go below the Airflow variable `iinked_destination`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task, task_group

from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedEventTrigger

recordings = Asset(
    "iinked_recordings",
    watchers=[
        AssetWatcher(
            name="iinked_archived",
            trigger=IinkedVideosArchivedEventTrigger(all_members=True, poll_interval=300),
        )
    ],
)

with DAG(
    dag_id="iinked_sign_event_driven",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=[recordings],
    catchup=False,
    max_active_tasks=8,
    tags=["iinked Sign", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
) as dag:

    @task
    def archived(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        found: dict[str, dict[str, None]] = {}
        for event in triggering_asset_events[recordings]:
            payload = event.extra["payload"]
            found.setdefault(payload["package_id"], {}).update(dict.fromkeys(payload["meeting_video_ids"]))
        return [{"package_id": package, "meeting_video_ids": list(ids)} for package, ids in found.items()]

    @task_group
    def take(package_id: str, meeting_video_ids: list[str]) -> None:
        download = IinkedDownloadVideosOperator(
            task_id="download",
            package_id=package_id,
            meeting_video_ids=meeting_video_ids,
            destination="{{ var.value.iinked_destination }}",
        )
        IinkedDeleteVideosOperator(task_id="delete", package_id=package_id, verified_copies=download.output)

    take.expand_kwargs(archived())
