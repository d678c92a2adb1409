"""
EdgeExecutor for real: PostgreSQL, API server and scheduler, and edge workers that know the API server's address alone.

Workers have no database, and they alone have the connection to the platform, as on a site of their own. What they share
is the file system with the copies and the Dag files.
"""

from __future__ import annotations

from pathlib import Path

from tests.distributed.workers import SLOTS, DeploymentWithWorkers

SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "airflow.providers.edge3.executors.EdgeExecutor",
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__EDGE__API_ENABLED": "True",
    "AIRFLOW__EDGE__JOB_POLL_INTERVAL": "1",
    # A worker that is silent for five of these is noted as lost, and its name may be taken again.
    "AIRFLOW__EDGE__HEARTBEAT_INTERVAL": "6",
    # A worker signs each request for so many seconds; one that waits longer at a busy API server is answered 403, and
    # the worker ends.
    "AIRFLOW__API_AUTH__JWT_LEEWAY": "120",
    # A task of a worker that is lost is missed after 40 s here; Airflow's own setting is 300 s.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "4",
}


class EdgeCluster(DeploymentWithWorkers):
    """Airflow's processes with EdgeExecutor, and edge workers."""

    def __init__(self, home: Path, database: str, environment: dict[str, str], source: Path | None = None) -> None:
        super().__init__(home, database, {**SETTINGS, **environment}, source)
        self.environment["AIRFLOW__EDGE__API_URL"] = f"http://127.0.0.1:{self.port}/edge_worker/v1/rpcapi"
        self.site: dict[str, str] = {}
        """Environment variables that only the workers have."""

    def worker_command(self, name: str) -> list[str]:
        return ["edge", "worker", "--concurrency", str(SLOTS), "--edge-hostname", name]

    def worker_environment(self, name: str) -> dict[str, str]:
        own = {**super().worker_environment(name), **self.site}
        del own["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        return own

    def stop_worker(self, name: str) -> None:
        """SIGTERM, as service managers and Kubernetes send it: the worker ends its tasks, then itself."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(90)
        finally:
            self.processes[name] = process
            self.kill(name)

    def worker_state(self, name: str) -> str:
        """State of a worker, as Airflow's page shows it."""
        rows = self.query("select state from edge_worker where worker_name = %(name)s", name=name)
        return str(rows[0][0]) if rows else "none"

    def jobs(self, dag_id: str, task_id: str) -> list[tuple[str, int]]:
        """Name of the worker and map index of each running job of a task."""
        return self.query(
            "select edge_worker, map_index from edge_job where state = 'running' and dag_id = %(dag)s "
            "and task_id = %(task)s",
            dag=dag_id,
            task=task_id,
        )  # type: ignore[return-value]
