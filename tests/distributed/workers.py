"""Workers with homes of their own, as on separate machines, beside the processes of a deployment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.deployment.deployment import Deployment

SLOTS = 2


class DeploymentWithWorkers(Deployment):
    """Airflow's processes, and workers that share nothing with them but what the test says."""

    def worker_command(self, name: str) -> list[str]:
        """Words after ``airflow`` that start a worker."""
        raise NotImplementedError

    def worker_environment(self, name: str) -> dict[str, str]:
        """Environment of a worker, with an AIRFLOW_HOME and a log folder of its own."""
        home = self.worker_home(name)
        return {
            **self.environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "TMPDIR": str(home),
        }

    def start_worker(self, name: str) -> None:
        """Start a worker; one that was lost finds its home as it was."""
        self.worker_home(name).mkdir(exist_ok=True)
        with open(self.home / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self.worker_command(name)],
                env=self.worker_environment(name),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def worker_home(self, name: str) -> Path:
        return self.home / f"home-of-{name}"

    def worker_log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text()

    def check_homes(self, *secrets: str) -> None:
        """No recording passes through a worker's own disk, and no file below all homes holds a secret."""
        for home in self.home.glob("home-of-*"):
            assert not [*home.rglob("*.mp4"), *home.rglob("*.part")]
        for secret in secrets:
            assert find_secret(self.home, secret) == []


def find_secret(folder: Path, secret: str) -> list[Path]:
    """Files below a folder that hold a text."""
    needle = secret.encode()
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]
