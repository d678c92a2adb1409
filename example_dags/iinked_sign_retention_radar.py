"""
### Every morning: which recordings end soon, and have no copy yet?

For those who want to be warned. Looks at all packages that have an archived recording, leaves out the recordings whose
copy lies below the Airflow variable `iinked_destination`, and fails when the retention of another one ends within ten
days. The error names the packages, the XCom `ends_soon` has them for a notifier. Nothing is copied or deleted.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG  # Airflow 2.11: from airflow.providers.common.compat.sdk

from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator

with DAG(
    dag_id="iinked_sign_retention_radar",
    doc_md=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule="0 7 * * *",
    catchup=False,
    tags=["iinked Sign", "example"],
):
    ends_soon = IinkedListPackagesOperator(
        task_id="ends_soon",
        all_members=True,
        with_archived_videos=True,
        batch_size=1000,
        without_copy_at="{{ var.value.iinked_destination }}",
        fail_if_retention_within=10,
        # Any notifier will do: what ends soon is a list, each entry of which has a line of text.
        on_failure_callback=SmtpNotifier(
            from_email="airflow@example.com",
            to="records@example.com",
            subject="iinked Sign: recordings that are lost soon",
            html_content=(
                "{% for package in ti.xcom_pull(task_ids='ends_soon', key='ends_soon') or [] %}"
                "<p>{{ package.text }}: {{ package.meeting_video_ids | join(', ') }}</p>"
                "{% else %}<p>{{ exception }}</p>{% endfor %}"
            ),
        ),
    )
