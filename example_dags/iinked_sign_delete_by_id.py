"""
### Delete recordings by their ids, after a preview

For recordings that must be deleted without a copy, for example after a withdrawn consent. Trigger it with the
package's id and the recordings' ids.

1. **preview** reads the list and says what would be deleted; nothing is sent. It fails if a recording is live in a
   state other than `archived`;
2. **approve** (Airflow 3.1 and later) shows that plan to a person;
3. **delete** deletes what was approved, and only while the list is still as it was shown. A receipt of each deletion
   goes below the Airflow variable `iinked_receipts`; a package that is under legal hold there is kept.

Do not use a plain `ApprovalOperator` instead: after a clear, Airflow up to 3.3 shows the first run's list while another
one is deleted. Below Airflow 3.1 nobody is asked: look at the preview's XCom, and trigger the deletion by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, Param, task  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator

try:
    from airflow_provider_iinked.operators.approval import IinkedApproveDeletionOperator
except ImportError:  # below Airflow 3.1
    IinkedApproveDeletionOperator = None

with DAG(
    dag_id="iinked_sign_delete_by_id",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["iinked Sign", "example"],
    params={
        "package_id": Param("22222222-2222-4222-8222-222222222222", type="string"),
        # Nothing is deleted unless someone says what.
        "meeting_video_ids": Param([], type="array", items={"type": "string"}),
    },
):

    @task
    def asked(params: dict[str, Any]) -> list[str]:
        # A list cannot go through a template: it would arrive as text.
        return list(params["meeting_video_ids"])

    @task
    def shown(answer: dict[str, Any]) -> list[str]:
        return [video["meetingVideoId"] for video in answer["videos"]]

    receipts = {"package_id": "{{ params.package_id }}", "receipt_destination": "{{ var.value.iinked_receipts }}"}
    preview = IinkedDeleteVideosOperator(task_id="preview", meeting_video_ids=asked(), preview=True, **receipts)
    consent = {}
    if IinkedApproveDeletionOperator is not None:
        consent["approval"] = IinkedApproveDeletionOperator(task_id="approve", plan=preview.output).output
    IinkedDeleteVideosOperator(task_id="delete", meeting_video_ids=shown(preview.output), **consent, **receipts)
