"""
Tasks that are told to end in the middle, under a real scheduler: marked failed or successful, timed out, SIGTERM.

The operators are subclassed only to note when they begin, hear of the end, and end; what was sent afterwards stands in
the simulator's ledger. A task that does not end by itself within Airflow's five seconds is killed, and notes no end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_iinked.simulator import IinkedSimulator
from airflow_provider_iinked.simulator.ledger import RequestRecord
from tests.deployment.deployment import Deployment, postgres_binaries, running, until
from tests.deployment.rest_api import Api, users

PATIENCE = 240
RECORDINGS = 120
LATENCY = 0.5
RATE = 1_000_000.0
TIMEOUT = 12
SLOWLY = 30
"""Seconds that a busy machine may add; what is stopped would go on for longer."""
SIZE = 40_000_000

DAGS = """
    # a dag of airflow
    import os
    import time
    from datetime import datetime, timedelta
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator

    def noted(operator):
        class Noted(operator):
            def note(self, event):
                with open(self.notes, "a") as file:
                    file.write(f"{event} {time.time()} {os.getpid()}\\n")

            def execute(self, context):
                self.notes = context["dag_run"].conf["notes"]
                self.note("begin")
                try:
                    return super().execute(context)
                finally:
                    self.note("end")

            def on_kill(self):
                self.note("kill")
                super().on_kill()

        return Noted

    Delete, Download = noted(IinkedDeleteVideosOperator), noted(IinkedDownloadVideosOperator)

    PACKAGE, DESTINATION = "{{ dag_run.conf['package'] }}", "{{ dag_run.conf['destination'] }}"
    LIMITS = {"": {}, "_timeout": {"execution_timeout": timedelta(seconds=TIMEOUT)}}
    for end, limit in LIMITS.items():
        with DAG(dag_id=f"delete{end}", start_date=datetime(2026, 1, 1), schedule=None):
            copies = IinkedDownloadVideosOperator(
                task_id="copies", package_id=PACKAGE, destination=DESTINATION, max_parallel=16
            )
            Delete(
                task_id="stopped", verified_copies=copies.output, retries=1, retry_delay=timedelta(seconds=1), **limit
            )
        with DAG(dag_id=f"download{end}", start_date=datetime(2026, 1, 1), schedule=None):
            Download(
                task_id="stopped", package_id=PACKAGE, destination=DESTINATION,
                retries=1, retry_delay=timedelta(seconds=1), **limit
            )
"""


class Run:
    """One run of a Dag whose task ``stopped`` is told to end."""

    def __init__(
        self, deployment: Deployment, sim: IinkedSimulator, dag_id: str, folder: Path, destination: str = ""
    ) -> None:
        self.deployment, self.sim, self.dag_id = deployment, sim, dag_id
        deleting = dag_id.startswith("delete")
        count, size = (RECORDINGS, 20_000) if deleting else (6, SIZE)
        self.package = sim.add_package(videos=[{"size": size}] * count)
        self.folder = folder / "copies" / self.package
        self.destination = destination or f"file://{folder}/copies"
        self.notes = folder / f"{self.package}.notes"
        self.notes.touch()
        self.run_id = f"run-{self.package}"
        sim.quirks.latency = 0.0 if deleting else LATENCY
        conf = {"package": self.package, "destination": self.destination, "notes": str(self.notes)}
        until(lambda: deployment.query("select 1 from serialized_dag where dag_id = %(d)s", d=dag_id), 120, "parsed")
        deployment.airflow("dags", "unpause", dag_id)
        deployment.airflow("dags", "trigger", dag_id, "--run-id", self.run_id, "--conf", json.dumps(conf))
        if deleting:
            self.wait(lambda: self.state("copies") == "success", "copied")
        sim.quirks.latency = LATENCY  # before the next task has started: the API is to be slow then
        self.wait(self.moments("begin").__len__, "the task begins")

    def wait(self, condition: Callable[[], object], what: str) -> None:
        try:
            until(condition, PATIENCE, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.state()}, {self.notes.read_text()}\n{self.log()}") from None

    def moments(self, event: str) -> _Moments:
        return _Moments(self.notes, event)

    def state(self, task_id: str = "stopped") -> str:
        rows = self.deployment.query(
            "select coalesce(state, 'none') from task_instance where run_id = %(run)s and task_id = %(task)s",
            run=self.run_id,
            task=task_id,
        )
        return str(rows[0][0]) if rows else "none"

    def log(self) -> str:
        folder = self.deployment.home / "logs"
        paths = [path for path in folder.rglob("*.log") if self.run_id in str(path) and "stopped" in str(path)]
        return "".join(path.read_text()[-6000:] for path in sorted(paths))

    def mark(self, state: str) -> None:
        """Mark the task, as a person does on Airflow's page."""
        if self.deployment.newer:
            path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/stopped"
            Api(self.deployment, self.sim, self.folder).call("PATCH", path, {"new_state": state})
        else:  # what Airflow 2's page does, in its database
            self.deployment.execute(
                "update task_instance set state = %(state)s, end_date = now() "
                "where run_id = %(run)s and task_id = 'stopped'",
                state=state,
                run=self.run_id,
            )

    def requests(self, since: float = 0.0) -> list[RequestRecord]:
        return [one for one in self.sim.ledger.requests() if one.package_id == self.package and one.time > since]

    def deleted(self) -> list[str]:
        return [one.video_id for one in self.sim.ledger.deletion_records if one.package_id == self.package]

    def receipts(self) -> dict[str, str]:
        paths = self.folder.glob("*.deletion.json")
        return {path.name.split(".")[0]: json.loads(path.read_text())["status"] for path in paths}

    def judge_deletion(self, end: float) -> None:
        """At most the request on its way arrived after the signal, and every receipt says what is so."""
        late = self.requests(since=end)
        assert len(late) <= 1, [(one.call, one.time - end) for one in late]
        deleted = self.deleted()
        assert 0 < len(deleted) < RECORDINGS
        receipts = self.receipts()
        unanswered = [video for video in deleted if receipts[video] not in ("deleted", "unconfirmed")]
        # Airflow 2 raises in the middle of the request, whose receipt stays `requested` until the next run.
        assert len(unanswered) <= (0 if self.deployment.newer else 1), unanswered
        left_open = [video for video, status in receipts.items() if status != "withdrawn" and video not in deleted]
        assert left_open == [], "a receipt of a request that was not sent"

    def judge_files(self) -> None:
        """Copies are whole, and nothing else lies there."""
        for path in self.folder.iterdir() if self.folder.exists() else ():
            video, _, kind = path.name.partition(".")
            assert kind in ("mp4", "custody.json"), path.name
            assert kind != "mp4" or path.stat().st_size == SIZE, video

    def ended(self) -> float:
        """Wait until the task's process is gone by itself; give the moment at which it was told to end."""
        self.wait(self.moments("end").__len__, "the task ends by itself")
        pid = self.moments("end").pids()[0]
        self.wait(lambda: not _lives(pid), "its process is gone")
        time.sleep(2)
        return self.moments("kill").times()[0]


class _Moments:
    """The lines of one event in a file of notes."""

    def __init__(self, path: Path, event: str) -> None:
        self.path, self.event = path, event

    def _rows(self) -> list[list[str]]:
        rows = [line.split() for line in self.path.read_text().splitlines()]
        return [row for row in rows if row[0] == self.event]

    def __len__(self) -> int:
        return len(self._rows())

    def times(self) -> list[float]:
        return [float(row[1]) for row in self._rows()]

    def pids(self) -> list[int]:
        return [int(row[2]) for row in self._rows()]


def _lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.fixture(scope="module")
def sim() -> Iterator[IinkedSimulator]:
    pytest.importorskip("psycopg2", reason="needs psycopg2-binary")
    if postgres_binaries() is None:
        pytest.skip("needs PostgreSQL's server (Debian: postgresql)")
    with IinkedSimulator(recording_rate=RATE) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stop")


@pytest.fixture(scope="module")
def bucket(folder: Path) -> Iterator[object]:
    """A bucket on moto, or None where moto is not installed."""
    try:
        import moto  # noqa: F401
        import s3fs  # noqa: F401

        from tests.stores.store_servers import S3Bucket, s3_server
    except ImportError:
        yield None
        return
    with s3_server(folder) as endpoint:
        yield S3Bucket(endpoint, "stopped")


@pytest.fixture(scope="module")
def deployment(sim: IinkedSimulator, folder: Path, bucket: object) -> Iterator[Deployment]:
    environment = {
        **users(folder / "passwords.json"),
        # How soon a task hears that it was marked.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "1",
        # Airflow 2 lets a task that was marked successful go on for so long; 20 s by default.
        "AIRFLOW__CORE__TASK_SUCCESS_OVERTIME": "0",
        **sim.connection_env(),
    }
    if bucket is not None:
        environment |= dict([bucket.connection()])
    with running(environment) as airflow:
        (airflow.dags / "stop.py").write_text(textwrap.dedent(DAGS).replace("TIMEOUT", str(TIMEOUT)))
        yield airflow


def bytes_flow(run: Run) -> bool:
    """Recordings are on their way, and have been for a moment."""
    begun = [one.time for one in run.requests() if one.call == "recording"]
    return len(begun) >= 4 and time.time() > min(begun) + 12


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_deletion_that_is_marked_in_the_middle_deletes_nothing_more(
    state: str, deployment: Deployment, sim: IinkedSimulator, folder: Path
) -> None:
    run = Run(deployment, sim, "delete", folder)
    run.wait(lambda: len(run.deleted()) >= 7, "seven recordings are deleted")
    run.mark(state)
    run.judge_deletion(run.ended())
    assert run.state() == state
    assert len(run.moments("begin")) == 1


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_download_that_is_marked_in_the_middle_leaves_nothing_unfinished(
    state: str, deployment: Deployment, sim: IinkedSimulator, folder: Path
) -> None:
    run = Run(deployment, sim, "download", folder)
    run.wait(lambda: bytes_flow(run), "recordings are on their way")
    assert [path for path in run.folder.iterdir() if path.name.endswith(".part")]
    run.mark(state)
    told = run.ended()
    assert run.requests(since=told) == []
    run.judge_files()
    assert run.state() == state


def test_a_download_to_s3_that_is_marked_in_the_middle_aborts_its_uploads(
    deployment: Deployment, sim: IinkedSimulator, folder: Path, bucket: object
) -> None:
    if bucket is None:
        pytest.skip("needs moto and s3fs")
    run = Run(deployment, sim, "download", folder, bucket.url)
    run.wait(lambda: bytes_flow(run) and bucket.open_uploads(), "parts are uploaded")
    run.mark("failed")
    told = run.ended()
    assert run.requests(since=told) == []
    assert bucket.open_uploads() == []
    assert {len(bucket.get(name)) for name in bucket.names() if not name.endswith(".json")} <= {SIZE}
    assert run.state() == "failed"


def test_a_deletion_beyond_its_execution_timeout_deletes_nothing_more(
    deployment: Deployment, sim: IinkedSimulator, folder: Path
) -> None:
    run = Run(deployment, sim, "delete_timeout", folder)
    run.wait(lambda: len(run.moments("end")) >= 1, "the first try ends")
    begin, end = run.moments("begin").times()[0], run.moments("end").times()[0]
    assert end - begin < TIMEOUT + SLOWLY
    run.wait(lambda: len(run.moments("end")) >= 2, "the second try ends")
    begins, ends = run.moments("begin").times(), run.moments("end").times()
    between = [one for one in run.requests(since=ends[0]) if one.time < begins[1]]
    assert between == []
    assert len(run.deleted()) == len(set(run.deleted()))


def test_a_download_beyond_its_execution_timeout_leaves_nothing_unfinished(
    deployment: Deployment, sim: IinkedSimulator, folder: Path
) -> None:
    run = Run(deployment, sim, "download_timeout", folder)
    run.wait(lambda: len(run.moments("end")) >= 2, "both tries end")
    begins, ends = run.moments("begin").times(), run.moments("end").times()
    assert all(end - begin < TIMEOUT + SLOWLY for begin, end in zip(begins, ends, strict=True))
    assert [one for one in run.requests(since=ends[0]) if one.time < begins[1]] == []
    run.wait(lambda: run.state() == "failed", "the task failed")
    run.judge_files()


def test_sigterm_for_scheduler_and_workers_ends_both_tasks_and_the_next_scheduler_finishes_them(
    deployment: Deployment, sim: IinkedSimulator, folder: Path
) -> None:
    sim.quirks.recording_rate = RATE / 20  # neither may end by itself while the other one starts
    download = Run(deployment, sim, "download", folder)
    delete = Run(deployment, sim, "delete", folder)
    delete.wait(lambda: len(delete.deleted()) >= 7, "seven recordings are deleted")
    download.wait(lambda: bytes_flow(download), "recordings are on their way")
    scheduler = deployment.processes.pop("scheduler")
    os.killpg(scheduler.pid, signal.SIGTERM)
    delete.judge_deletion(delete.ended())
    told = download.ended()
    assert download.requests(since=told) == []
    download.judge_files()
    with contextlib.suppress(Exception):
        scheduler.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(scheduler.pid, signal.SIGKILL)
    sim.quirks.latency, sim.quirks.recording_rate = 0.0, None
    deployment.start("scheduler")
    for run in (delete, download):
        run.wait(lambda run=run: run.state() == "success", "the next try succeeds")
    assert len(delete.deleted()) == len(set(delete.deleted())) == RECORDINGS
    assert set(delete.receipts().values()) == {"deleted"}
    assert len(list(download.folder.glob("*.mp4"))) == 6
    download.judge_files()
