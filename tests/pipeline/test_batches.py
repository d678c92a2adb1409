"""The chain with several packages in one task, as Airflow runs it: listed in batches, waited for, copied, deleted."""

from __future__ import annotations

import pytest

BATCHES = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    with DAG("{dag_id}", schedule=None) as dag:
        packages = IinkedListPackagesOperator(task_id="packages", batch_size=2)
        wait = IinkedVideosArchivedSensor.partial(
            task_id="wait", poke_interval=0.3, timeout=60, %s
        ).expand(package_id=packages.output)
        download = IinkedDownloadVideosOperator.partial(
            task_id="download", destination="{{ dag_run.conf['destination'] }}"
        ).expand(package_id=packages.output)
        delete = IinkedDeleteVideosOperator.partial(task_id="delete").expand(verified_copies=download.output)
        wait >> download
"""


@pytest.mark.parametrize("mode", ["mode='reschedule'", "deferrable=True"])
def test_batches_of_packages_are_waited_for_copied_and_deleted(chain, run_dag, mode):
    made = [chain.package({}, {"archive_after": 2.0}) for _ in range(3)]
    videos = {video for _, ids in made for video in ids}

    result = run_dag(BATCHES % mode, destination=chain.destination)

    assert {(ti.task_id, str(ti.state)) for ti in result.run.get_task_instances()} == {
        (task, "success") for task in ("packages", "wait", "download", "delete")
    }
    batches = result.xcom("packages")
    assert sorted(map(len, batches)) == [1, 2]
    assert {package for batch in batches for package in batch} == {package for package, _ in made}
    assert set(chain.ledger.deletions) == videos
    assert len(chain.ledger.deletions) == len(videos)
    assert all(record.by_id for record in chain.ledger.deletion_records)
