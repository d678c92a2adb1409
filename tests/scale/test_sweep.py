"""
A whole organization through the nightly sweep, in batches, while tasks and the scheduler are killed.

The Dag is the example; only its retries are more and sooner. The platform's ledger and the store are judged, not the
states of Airflow's tasks.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

pytest.importorskip("psycopg2", reason="needs psycopg2-binary")
pytest.importorskip("psutil")

from benchmarks.simulator_process import Remote, simulator
from tests.deployment.archive import check_archive
from tests.deployment.deployment import Deployment, postgres_binaries, running, until

if postgres_binaries() is None:
    pytest.skip("needs PostgreSQL's server (Debian: postgresql)", allow_module_level=True)

PACKAGES = int(os.environ.get("SCALE_PACKAGES", "20000"))
BATCH = 50
SIZE = 5_000
KILLS = int(os.environ.get("SCALE_KILLS", "12"))
PATIENCE = float(os.environ.get("SCALE_SECONDS", 4 * 3600))
"""After so long everything is killed and what is done by then is judged; the test fails all the same."""
EXAMPLE = "iinked_sign_nightly_sweep.py"
CHANGES = {
    'schedule="30 2 * * *"': "schedule=None",
    '"retries": 2': '"retries": 10',
    "timedelta(minutes=5)": "timedelta(seconds=5)",
}
DAG_ID = "iinked_sign_nightly_sweep"
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "4",
    # A task that is lost is missed after 90 s here; Airflow's own settings are 300 s and 30 s.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
}


@pytest.fixture
def sim() -> Iterator[Remote]:
    with simulator() as remote:
        yield remote


def _add_organization(sim: Remote) -> dict[str, str]:
    """
    Make packages with an archived recording each; one in a hundred has another one that is not archived yet.

    :return: the archived recordings and their packages.
    """
    archived: dict[str, str] = {}
    for number in range(PACKAGES):
        video_id = str(uuid.uuid4())
        later = [{"state": "queued", "size": SIZE}] if number % 100 == 0 else []
        archived[video_id] = sim("add_package", videos=[{"meeting_video_id": video_id, "size": SIZE}, *later])
    return archived


def test_a_sweep_of_a_whole_organization_loses_nothing_and_deletes_each_recording_once(
    sim: Remote, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = tmp_path / "copies"
    archived = _add_organization(sim)
    with running({**sim.environment, **SETTINGS, "AIRFLOW_VAR_IINKED_DESTINATION": f"file://{copies}"}) as airflow:
        airflow.add_example(EXAMPLE, CHANGES)
        started = time.monotonic()
        airflow.trigger(DAG_ID)
        kills = _kill_until_the_run_ends(airflow, started + PATIENCE)
        took = time.monotonic() - started
        ended = _ended(airflow)
        states = {task: airflow.states(DAG_ID, f"archive.{task}") for task in ("download", "delete")}
        figures = _figures(airflow)
        if not ended:
            airflow.lose("scheduler")
    deleted = Counter(sim("ledger.deletions"))
    requests = sim("ledger.requests", call="delete")
    with capsys.disabled():
        print(
            f"\n{PACKAGES:,} packages in batches of {BATCH}: {took:.0f} s, {len(deleted) / took:.1f} packages a second"
        )
        print(f"killed: {dict(kills)}; task states: {states}; deletions: {len(deleted):,}, requests: {len(requests):,}")
        print(figures)
    assert set(deleted.values()) == {1}
    assert all(deletion.by_id for deletion in sim("ledger.deletion_records"))
    for video_id in deleted:
        check_archive(copies / archived[video_id], {video_id: sim("sha256", video_id)}, complete=ended)
    assert set(deleted) == set(archived), f"left on the platform: {states}"


def _kill_until_the_run_ends(airflow: Deployment, until_when: float) -> Counter[str]:
    """Kill all running tasks, or the scheduler with all of them, each time some more batches are done."""

    def over() -> bool:
        return _ended(airflow) or time.monotonic() > until_when

    kills: Counter[str] = Counter()
    kinds = cycle(["tasks", "tasks", "scheduler"])
    moments = random.Random(20261128)
    batches = -(-PACKAGES // BATCH)
    for number in range(1, KILLS + 1):
        due = batches * number // (KILLS + 1)
        until(
            lambda due=due: over() or airflow.states(DAG_ID, "archive.delete").get("success", 0) >= due,
            PATIENCE + 60,
            f"{due} batches are done",
        )
        time.sleep(3 * moments.random())
        if over():
            break
        kind = next(kinds)
        _kill(airflow, kind)
        kills[kind] += 1
        print(f"{due} batches done, killed: {kind}", flush=True)
    until(over, PATIENCE + 60, "the run ends")
    return kills


def _kill(airflow: Deployment, kind: str) -> None:
    until(airflow.task_processes, 300, "a task runs")
    if kind == "scheduler":
        airflow.lose("scheduler")
        airflow.start("scheduler")
    else:
        airflow.kill_tasks()


def _ended(airflow: Deployment) -> bool:
    return bool(airflow.query("select 1 from dag_run where state in ('success', 'failed')"))


def _figures(airflow: Deployment) -> str:
    """What Airflow's database holds of the run."""
    xcoms = airflow.query(
        "select task_id, key, count(*), max(octet_length(value::text)), sum(octet_length(value::text)) "
        "from xcom group by 1, 2 order by 1, 2"
    )
    ((tries, tasks),) = airflow.query("select max(try_number), count(*) from task_instance")
    ((size,),) = airflow.query("select pg_database_size(current_database())")
    lines = [f"XCom {task} {key}: {n} of at most {most} bytes, {total} in all" for task, key, n, most, total in xcoms]
    return "\n".join([f"{tasks} tasks, at most {tries} tries of one; database {size / 2**20:.0f} MiB", *lines])
