"""
The chain on EdgeExecutor with two edge workers: one package that is waited for, the nightly sweep, workers lost and
stopped with a batch. The platform's ledger and the store are judged, not the states of Airflow's tasks.
"""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("airflow.providers.edge3", reason="run by `make test-edge`, in an environment of its own")
pytest.importorskip("psycopg2", reason="needs psycopg2-binary")

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.archive import check_all_archived
from tests.deployment.deployment import postgres_binaries, running, until
from tests.distributed.edge_cluster import EdgeCluster

if postgres_binaries() is None:
    pytest.skip("needs PostgreSQL's server (Debian: postgresql)", allow_module_level=True)

Report = Callable[[str], None]
WORKERS = ("edge-1", "edge-2")
PATIENCE = float(os.environ.get("PATIENCE", "1200"))
BATCH = 4
BATCHES = 3
VIDEOS = 3
POKE = 20
"""Airflow fails a wait that starts again before its scheduler has heard that it was put off (docs/waiting.md)."""
GROUP = "archive_and_delete_videos"

DAG = """
    # a dag of airflow
    from datetime import datetime, timedelta
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

    with DAG(
        dag_id="{dag_id}",
        start_date=datetime(2026, 1, 1),
        schedule=None,
        default_args={{"retries": 5, "retry_delay": timedelta(seconds=2)}},
    ) as dag:
        {call}
"""
SWEEP = {
    'schedule="30 2 * * *"': "schedule=None",
    "timedelta(minutes=5)": "timedelta(seconds=5)",
    "batch_size=50": f"batch_size={BATCH}",
}


@pytest.fixture
def sim() -> Iterator[IinkedSimulator]:
    with IinkedSimulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def airflow() -> Iterator[EdgeCluster]:
    with running({}, kind=EdgeCluster) as cluster:
        yield cluster


@pytest.fixture
def cluster(airflow: EdgeCluster, sim: IinkedSimulator, tmp_path: Path) -> Iterator[EdgeCluster]:
    """Airflow, with two workers that have the connection to this test's simulator."""
    airflow.site = {
        **sim.connection_env(max_retries=3),
        "AIRFLOW_VAR_IINKED_DESTINATION": f"file://{tmp_path}/copies",
    }
    for name in WORKERS:
        airflow.start_worker(name)
    with airflow.logs_on_failure():
        until(lambda: {airflow.worker_state(name) for name in WORKERS} == {"idle"}, 240, "the workers are there")
    yield airflow
    for name in [name for name in WORKERS if name in airflow.processes]:
        airflow.stop_worker(name)
    airflow.check_homes(sim.api_key, "access=")


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Print a line that is seen although the test passes."""

    def print_line(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", end="")

    return print_line


def _add(cluster: EdgeCluster, dag_id: str, call: str) -> None:
    (cluster.dags / f"{dag_id}.py").write_text(textwrap.dedent(DAG).format(dag_id=dag_id, call=call))


def test_an_edge_worker_waits_copies_and_deletes(cluster: EdgeCluster, sim: IinkedSimulator, tmp_path: Path) -> None:
    package = sim.add_package(videos=[{"meeting_video_id": "late", "state": "queued"}, "two", "three"])
    options = f"package_id={package!r}, destination='file://{tmp_path}/copies', poke_interval={POKE}, deferrable=False"
    _add(cluster, "chain", f"{GROUP}({options})")
    with cluster.logs_on_failure():
        cluster.trigger("chain")
        until(lambda: len(sim.ledger.requests(call="list")) >= 2, PATIENCE, "the wait has looked twice")
        sim.set_state(package, "late", "archived")
        cluster.wait_for_success("chain", PATIENCE)
    check_all_archived(sim, tmp_path / "copies", [package])


def test_the_nightly_sweep_runs_on_two_edge_workers(
    cluster: EdgeCluster, sim: IinkedSimulator, tmp_path: Path, report: Report
) -> None:
    packages = [sim.add_package(videos=[{}] * VIDEOS) for _ in range(BATCH * 5)]
    cluster.add_example("iinked_sign_nightly_sweep.py", SWEEP)
    started = time.monotonic()
    with cluster.logs_on_failure():
        cluster.trigger("iinked_sign_nightly_sweep")
        cluster.wait_for_success("iinked_sign_nightly_sweep", PATIENCE)
    report(f"{len(packages)} packages in batches of {BATCH}: {time.monotonic() - started:.0f} s")
    check_all_archived(sim, tmp_path / "copies", packages)
    by = cluster.query("select distinct edge_worker from edge_job where dag_id = 'iinked_sign_nightly_sweep'")
    assert {name for (name,) in by} == set(WORKERS)


@pytest.fixture
def batches(sim: IinkedSimulator) -> list[list[str]]:
    """Packages in batches, at a platform slow enough to be in the middle of each for a while."""
    sim.quirks.latency, sim.quirks.recording_rate = 0.3, 50_000.0
    packages = [sim.add_package(videos=[{"size": 150_000}] * VIDEOS) for _ in range(BATCH * BATCHES)]
    return [packages[BATCH * number : BATCH * (number + 1)] for number in range(BATCHES)]


def test_batches_of_lost_edge_workers_are_finished_by_others(
    cluster: EdgeCluster, sim: IinkedSimulator, batches: list[list[str]], tmp_path: Path, report: Report
) -> None:
    started = time.monotonic()
    with cluster.logs_on_failure():
        run = MappedRun(cluster, sim, batches, "lost", tmp_path)
        for task, in_the_middle in (("download", _is_being_copied), ("delete", _is_being_deleted)):
            worker, batch = run.in_the_middle(task, in_the_middle)
            cluster.lose(worker)
            lost = time.monotonic()
            run.wait_for_the_second_try(task, batch)
            report(f"{worker} lost with a batch in {task}, run again {time.monotonic() - lost:.0f} s later")
            until(lambda worker=worker: cluster.worker_state(worker) == "unknown", PATIENCE, "the worker is missed")
            cluster.start_worker(worker)
        cluster.wait_for_success("lost", PATIENCE)
    videos = check_all_archived(sim, tmp_path / "copies", [package for batch in batches for package in batch])
    report(f"{videos} recordings in batches of {BATCH} packages: {time.monotonic() - started:.0f} s")


def test_the_batch_of_an_edge_worker_that_is_stopped_is_finished_by_another(
    cluster: EdgeCluster, sim: IinkedSimulator, batches: list[list[str]], tmp_path: Path, report: Report
) -> None:
    started = time.monotonic()
    with cluster.logs_on_failure():
        run = MappedRun(cluster, sim, batches, "stopped", tmp_path)
        worker, batch = run.in_the_middle("delete", _is_being_deleted)
        stopped = time.monotonic()
        cluster.stop_worker(worker)
        ended = time.monotonic()
        run.wait_for_the_second_try("delete", batch)
        again = time.monotonic()
        report(f"{worker} ended {ended - stopped:.0f} s after SIGTERM, its batch run again {again - ended:.0f} s later")
        cluster.start_worker(worker)
        cluster.wait_for_success("stopped", PATIENCE)
    videos = check_all_archived(sim, tmp_path / "copies", [package for batch in batches for package in batch])
    report(f"{videos} recordings in batches of {BATCH} packages: {time.monotonic() - started:.0f} s")


class MappedRun:
    """One run of the task group, mapped over batches."""

    def __init__(
        self, cluster: EdgeCluster, sim: IinkedSimulator, batches: list[list[str]], dag_id: str, folder: Path
    ) -> None:
        self.cluster, self.sim, self.batches, self.dag_id = cluster, sim, batches, dag_id
        options = f"destination='file://{folder}/copies', poke_interval={POKE}, deferrable=False"
        _add(cluster, dag_id, f"{GROUP}.partial({options}).expand(package_id={batches!r})")
        cluster.trigger(dag_id)

    def in_the_middle(self, task: str, reached: Callable[[IinkedSimulator, list[str]], bool]) -> tuple[str, int]:
        """Wait until a worker is in the middle of a batch; give its name and the batch's map index."""

        def job() -> tuple[str, int] | None:
            jobs = self.cluster.jobs(self.dag_id, f"{GROUP}.{task}")
            return next((job for job in jobs if reached(self.sim, self.batches[job[1]])), None)

        found: tuple[str, int] = until(job, PATIENCE, f"a batch is in the middle of its {task}")
        return found

    def wait_for_the_second_try(self, task: str, batch: int) -> None:
        until(lambda: self._try(task, batch) == 2, PATIENCE, f"the {task} is run again")

    def _try(self, task: str, batch: int) -> int:
        """The try at which a task of a batch is, once it runs."""
        rows = self.cluster.query(
            "select try_number from task_instance where dag_id = %(dag)s and task_id = %(task)s "
            "and map_index = %(batch)s and state in ('running', 'success')",
            dag=self.dag_id,
            task=f"{GROUP}.{task}",
            batch=batch,
        )
        return int(rows[0][0]) if rows else 0


def _is_being_copied(sim: IinkedSimulator, packages: list[str]) -> bool:
    requests = [one for one in sim.ledger.requests(call="recording") if one.package_id in packages]
    return any(one.sent is None for one in requests) and any(one.sent for one in requests)


def _is_being_deleted(sim: IinkedSimulator, packages: list[str]) -> bool:
    deleted = [one for one in sim.ledger.deletion_records if one.package_id in packages]
    return 0 < len(deleted) < len(packages) * VIDEOS / 2
