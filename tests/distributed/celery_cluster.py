"""
CeleryExecutor for real: Redis, PostgreSQL, scheduler and workers with separate homes, as on separate machines.

What the workers share is the broker, the API server, the Dag files and an object store; nothing else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.deployment.deployment import Deployment, postgres, until
from tests.servers import free_port

SLOTS = 2


class Redis:
    """A broker with a folder and a port of its own, which keeps its queues over a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--appendonly", "yes"]
        with open(self.folder / "redis.log", "ab") as log:
            self._process = subprocess.Popen(["redis-server", *options], stdout=log, stderr=log, cwd=self.folder)
        until(self._answers, 20, "Redis answers")

    def _answers(self) -> bool:
        import redis

        with contextlib.suppress(redis.exceptions.RedisError):
            return bool(redis.Redis.from_url(self.url).ping())
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


class Cluster(Deployment):
    """Airflow's processes, and two Celery workers."""

    def start_worker(self, name: str) -> None:
        """Start a worker with an AIRFLOW_HOME, a log folder and a log server of its own."""
        home = self.worker_home(name)
        home.mkdir()
        own = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "TMPDIR": str(home),
        }
        command = [sys.executable, "-m", "airflow", "celery", "worker", "--without-gossip", "--without-mingle"]
        log = open(self.home / f"{name}.log", "ab")  # noqa: SIM115
        self.processes[name] = subprocess.Popen(
            [*command, "--concurrency", str(SLOTS), "--celery-hostname", f"{name}@%h"],
            env={**self.environment, **own},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def worker_home(self, name: str) -> Path:
        return self.home / f"home-of-{name}"

    def tasks_done_by(self, name: str) -> int:
        """How many tasks a worker took from the broker."""
        return (self.home / f"{name}.log").read_text().count("received")

    def has_received(self, name: str, task: str) -> bool:
        """Whether a worker took a certain task, by Celery's id of it."""
        return task in (self.home / f"{name}.log").read_text()


def settings(broker: str) -> dict[str, str]:
    """Settings of a deployment with Celery; pauses are short so that what is lost is missed soon."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "8",
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "120",
        "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
        # A worker that is lost is missed after 20 s here; Airflow's own setting is 300 s.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "4",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "45",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        "AIRFLOW__LOGGING__DELETE_LOCAL_LOGS": "False",
    }


@contextlib.contextmanager
def running(environment: dict[str, str]) -> Iterator[tuple[Cluster, Redis]]:
    """Run everything; on the way out, stop everything."""
    home = Path(tempfile.mkdtemp(prefix="iinked-celery-"))
    broker = Redis(home)
    broker.start()
    with postgres() as database:
        results = f"db+{database}"
        own = {**settings(broker.url), "AIRFLOW__CELERY__RESULT_BACKEND": results, **environment}
        cluster = Cluster(home, database, own)
        started = time.monotonic()
        try:
            cluster.start_all()
            for name in ("worker-1", "worker-2"):
                cluster.start_worker(name)
            print(f"up after {time.monotonic() - started:.0f} s")
            yield cluster, broker
        finally:
            cluster.stop()
            broker.stop()
            if not os.environ.get("KEEP_CLUSTER"):
                shutil.rmtree(home, ignore_errors=True)


def find_secret(folder: Path, secret: str) -> list[Path]:
    """Files below a folder that hold a text."""
    needle = secret.encode()
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]
