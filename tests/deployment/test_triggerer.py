"""Hundreds of waits under a real scheduler and a real triggerer, with LocalExecutor and PostgreSQL."""

from __future__ import annotations

import os
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.deployment import Deployment, until

WAITS = int(os.environ.get("WAITS", "200"))
PATIENCE = 1800  # on a quiet machine of two cores all are deferred within a minute

DAG = """
    # a dag of airflow
    from datetime import datetime, timedelta
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    def note(context):
        ti = context["ti"]
        with open({ends!r}, "a") as file:
            file.write(f"{{ti.map_index}}\\n")

    with DAG(dag_id={dag_id!r}, start_date=datetime(2026, 1, 1), schedule=None, max_active_tasks=300) as dag:
        IinkedVideosArchivedSensor.partial(
            task_id="wait", deferrable=True, poke_interval=5, timeout=3600, on_success_callback=note,
        ).expand(package_id={packages!r})
"""


def start_waits(deployment: Deployment, sim: IinkedSimulator, dag_id: str) -> tuple[list[str], Path]:
    """Start a run with a wait for each of so many new packages; give them, and the file that notes each end."""
    packages = [sim.add_package(videos=[{"state": "queued"}]) for _ in range(WAITS)]
    ends = deployment.home / f"{dag_id}.ends"
    ends.touch()
    text = textwrap.dedent(DAG).format(dag_id=dag_id, packages=packages, ends=str(ends))
    (deployment.dags / f"{dag_id}.py").write_text(text)
    deployment.trigger(dag_id)
    return packages, ends


def archive(sim: IinkedSimulator, packages: list[str]) -> None:
    for package in sim.packages():
        if package.package_id in packages:
            for video in package.videos:
                sim.set_state(package.package_id, video, "archived")


def wait_for(deployment: Deployment, dag_id: str, **wanted: int) -> None:
    def reached() -> bool:
        states = deployment.states(dag_id, "wait")
        assert "failed" not in states, "a wait failed"
        return all(states.get(state, 0) >= count for state, count in wanted.items())

    try:
        until(reached, PATIENCE, f"{wanted}")
    except AssertionError as error:
        raise AssertionError(f"{error}; {deployment.states(dag_id, 'wait')}\n{deployment.logs()}") from None


def wait_until_deferred(deployment: Deployment, dag_id: str) -> None:
    """
    All wait in the triggerer, and the scheduler has noted it.

    Airflow itself fails a task whose trigger fires before its scheduler has heard that the worker deferred it
    (apache/airflow#66374, #67287, #71580, #72716); that is within seconds, and not what these tests are about.
    """
    wait_for(deployment, dag_id, deferred=WAITS)
    time.sleep(10)


def check_each_ended_once(deployment: Deployment, dag_id: str, ends: Path) -> None:
    assert deployment.states(dag_id, "wait") == {"success": WAITS}
    tries = deployment.query("select distinct try_number from task_instance where dag_id = %(dag)s", dag=dag_id)
    assert tries == [(1,)]
    until(lambda: len(ends.read_text().split()) >= WAITS, 60, "every end is noted")
    time.sleep(2)
    assert Counter(map(int, ends.read_text().split())) == Counter(range(WAITS))
    rows = deployment.query("select count(*) from xcom where dag_id = %(dag)s and key = 'return_value'", dag=dag_id)
    assert rows == [(WAITS,)]


def test_two_hundred_mapped_waits_run_to_their_end(deployment: Deployment, sim: IinkedSimulator) -> None:
    packages, ends = start_waits(deployment, sim, "waits")
    wait_until_deferred(deployment, "waits")
    rows: list[tuple[Any, ...]] = deployment.query("select classpath, kwargs from trigger")
    assert {row[0] for row in rows} == {"airflow_provider_iinked.triggers.videos.IinkedVideosArchivedTrigger"}
    assert not any(sim.api_key in row[1] for row in rows)
    archive(sim, packages)
    wait_for(deployment, "waits", success=WAITS)
    check_each_ended_once(deployment, "waits", ends)


def test_a_killed_triggerer_loses_no_wait_and_ends_none_twice(deployment: Deployment, sim: IinkedSimulator) -> None:
    packages, ends = start_waits(deployment, sim, "killed")
    wait_until_deferred(deployment, "killed")
    # In the middle: a third is over, the rest still waits.
    archive(sim, packages[: WAITS // 3])
    wait_for(deployment, "killed", success=5)
    deployment.kill("triggerer")
    archive(sim, packages)
    time.sleep(5)
    deployment.start("triggerer")
    wait_for(deployment, "killed", success=WAITS)
    check_each_ended_once(deployment, "killed", ends)


WATCHER = """
    # a dag of airflow
    from datetime import datetime
    from airflow.sdk import DAG, Asset, AssetWatcher, task
    from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedEventTrigger

    recordings = Asset("recordings", watchers=[AssetWatcher(
        name="archived", trigger=IinkedVideosArchivedEventTrigger(all_members=True, search="event", poll_interval=3))])

    with DAG(dag_id="driven", start_date=datetime(2026, 1, 1), schedule=[recordings]) as dag:
        @task
        def take(triggering_asset_events=None):
            with open({told!r}, "a") as file:
                for event in triggering_asset_events[recordings]:
                    payload = event.extra["payload"]
                    file.write("".join(f"{{payload['package_id']}} {{one}}\\n" for one in payload["meeting_video_ids"]))
        take()
"""


def test_recordings_that_become_archived_start_a_run(deployment: Deployment, sim: IinkedSimulator) -> None:
    if not deployment.newer:
        pytest.skip("event-driven scheduling came with Airflow 3")
    told = deployment.home / "told"
    told.touch()
    package = sim.add_package(name="event one", videos=["first", {"meeting_video_id": "second", "state": "queued"}])
    (deployment.dags / "driven.py").write_text(textwrap.dedent(WATCHER).format(told=str(told)))
    until(lambda: deployment.query("select 1 from serialized_dag where dag_id = 'driven'"), 120, "parsed")
    deployment.airflow("dags", "unpause", "driven")
    try:
        until(lambda: "first" in told.read_text(), 180, "the archived recording is told")
        sim.set_state(package, "second", "archived")
        until(lambda: "second" in told.read_text(), 120, "the one archived later is told")
        time.sleep(75)  # what was told is written down a minute later
        deployment.kill("triggerer")
        deployment.start("triggerer")
        sim.add_video(package, "third")
        until(lambda: "third" in told.read_text(), 180, "told after a restart")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{deployment.logs()}") from None
    time.sleep(8)
    lines = told.read_text().splitlines()
    wanted = [f"{package} {name}" for name in ("first", "second", "third")]
    # At least once; where the state store remembers (Airflow 3.3), exactly once in quiet times.
    assert set(lines) == set(wanted)
    if deployment.query("select 1 from information_schema.tables where table_name = 'asset_state_store'"):
        assert sorted(lines) == sorted(wanted)
