"""
CeleryExecutor for real: Redis, PostgreSQL, scheduler and workers with separate homes, as on separate machines.

What the workers share is the broker, the API server, the Dag files and an object store; nothing else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.deployment.deployment import postgres, until
from tests.distributed.workers import SLOTS, DeploymentWithWorkers
from tests.servers import free_port


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


class Cluster(DeploymentWithWorkers):
    """Airflow's processes, and two Celery workers."""

    def worker_command(self, name: str) -> list[str]:
        options = ["--without-gossip", "--without-mingle", "--concurrency", str(SLOTS)]
        return ["celery", "worker", *options, "--celery-hostname", f"{name}@%h"]

    def worker_environment(self, name: str) -> dict[str, str]:
        return {
            **super().worker_environment(name),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        }

    def tasks_done_by(self, name: str) -> int:
        """How many tasks a worker took from the broker."""
        return self.worker_log(name).count("received")

    def has_received(self, name: str, task: str) -> bool:
        """Whether a worker took a certain task, by Celery's id of it."""
        return task in self.worker_log(name)


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
