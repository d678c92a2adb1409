"""The chain in mode reschedule under a real scheduler: what ``dag.test()`` does not show on every Airflow."""

from __future__ import annotations

import textwrap
from pathlib import Path

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.deployment import Deployment, until

DAG = """
    # a dag of airflow
    from datetime import datetime
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    with DAG(dag_id="chain", start_date=datetime(2026, 1, 1), schedule=None) as dag:
        waiting = {{"mode": "reschedule", "poke_interval": 10, "deferrable": False}}
        wait = IinkedVideosArchivedSensor(task_id="wait", package_id={package!r}, timeout=600, **waiting)
        copies = IinkedDownloadVideosOperator(
            task_id="download",
            package_id={package!r},
            meeting_video_ids=wait.output["meeting_video_ids"],
            destination={destination!r},
        )
        IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies.output)
        IinkedVideosArchivedSensor(task_id="late", package_id={late!r}, timeout=25, **waiting)
        IinkedVideosArchivedSensor(task_id="skipped", package_id={late!r}, timeout=25, soft_fail=True, **waiting)
"""
# Ten seconds between two looks: 3.0's LocalExecutor tells of a task's end five seconds late, and its scheduler fails a
# task that has started anew by then.
PATIENCE = 240


def test_a_wait_put_off_again_and_again_ends_as_it_should(
    deployment: Deployment, sim: IinkedSimulator, tmp_path: Path
) -> None:
    package = sim.add_package(videos=[{"meeting_video_id": "one", "state": "queued"}, "two"])
    late = sim.add_package(videos=[{"state": "queued"}])
    text = textwrap.dedent(DAG).format(package=package, late=late, destination=f"file://{tmp_path}/copies")
    (deployment.dags / "chain.py").write_text(text)
    deployment.trigger("chain")

    def state(task_id: str) -> str:
        return next(iter(deployment.states("chain", task_id)), "")

    def polls() -> int:
        return len([request for request in sim.ledger.requests(call="list") if request.package_id == package])

    try:
        until(lambda: polls() >= 3, PATIENCE, "put off twice")
        sim.set_state(package, "one", "archived")
        until(lambda: state("delete") == "success", PATIENCE, "deleted")
        until(lambda: state("late") == "failed" and state("skipped") == "skipped", PATIENCE, "given up")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{deployment.logs()}") from None
    tries = deployment.query("select distinct try_number from task_instance where dag_id = 'chain'")
    assert tries == [(1,)]
    assert sorted(sim.ledger.deletions) == ["one", "two"]
    assert all(deletion.by_id for deletion in sim.ledger.deletion_records)
