"""
A whole Airflow of a test's own: PostgreSQL from Debian's packages, scheduler, triggerer, LocalExecutor.

Everything lies in one temporary folder and listens on loopback, on ports that were free.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.servers import free_port

POSTGRES_USER = "postgres"


def postgres_binaries() -> Path | None:
    """The folder of initdb and postgres, or None."""
    found = shutil.which("initdb")
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    path = found if found and not os.path.islink(found) else (folders[-1] if folders else found)
    return Path(path).parent if path else None


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run PostgreSQL with a data folder and a port of its own; give its URL for psycopg2."""
    binaries = postgres_binaries()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="iinked-postgres-"))
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, POSTGRES_USER)
        as_user = ["setpriv", f"--reuid={POSTGRES_USER}", f"--regid={POSTGRES_USER}", "--clear-groups"]
    port = free_port()
    data = folder / "data"
    run = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "env": {"PATH": os.environ["PATH"]}}
    try:
        options = ["-A", "trust", "-U", "airflow", "--no-sync", "--encoding", "UTF8", "--locale", "C"]
        subprocess.run([*as_user, binaries / "initdb", "-D", data, *options], **run)
        server = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off"
        control = [*as_user, binaries / "pg_ctl", "-D", data, "-w", "-t", "60"]
        subprocess.run([*control, "-l", folder / "log", "-o", server, "start"], **run)
        try:
            subprocess.run(
                [*as_user, binaries / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow"], **run
            )
            yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/airflow"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Deployment:
    """
    Airflow's processes over a database.

    :param home: AIRFLOW_HOME.
    :param database: URL of the database.
    :param environment: further environment variables, such as connections; ``{home}`` in a value is AIRFLOW_HOME.
    :param source: the folder from which the package is imported, where it is not this one.
    """

    def __init__(self, home: Path, database: str, environment: dict[str, str], source: Path | None = None) -> None:
        import airflow

        self.newer = int(airflow.__version__.split(".")[0]) >= 3
        self.home = home
        self.dags = home / "dags"
        self.dags.mkdir(parents=True)
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "6",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "300",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-the-tests-that-is-long-enough-for-hs512-" * 2,
            "AIRFLOW__API__SECRET_KEY": "another-secret-of-the-tests",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "10",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            "NO_PROXY": "127.0.0.1,localhost",
            **{name: value.replace("{home}", str(home)) for name, value in environment.items()},
        }
        self.source = source

    def airflow(self, *words: str) -> str:
        """Run an ``airflow`` command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *words],
            cwd=self.source,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"airflow {words}: {done.stdout[-1500:]} {done.stderr[-3000:]}"
        return done.stdout

    def start(self, name: str, *words: str) -> None:
        """Start a process of Airflow, in a process group of its own."""
        log = open(self.home / f"{name}.log", "ab")  # noqa: SIM115
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "airflow", *(words or (name,))],
            cwd=self.source,
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def start_all(self) -> None:
        self.airflow("db", "migrate")
        if self.newer:
            self.start("api-server", "api-server", "--workers", "1", "--host", "127.0.0.1")
            until(self._answers, 120, "the API server answers")
            self.start("dag-processor")
        self.start("scheduler")
        self.start("triggerer")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def kill(self, name: str) -> None:
        """SIGKILL a process and all that it started."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def lose(self, name: str) -> None:
        """SIGKILL a process and all that it started, at once, as when its machine is lost."""
        import psutil

        main = psutil.Process(self.processes[name].pid)
        family = [main, *main.children(recursive=True)]  # a task's process has a process group of its own
        for act in ("suspend", "kill"):
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    getattr(member, act)()
        self.kill(name)

    def task_processes(self) -> list[Any]:
        """The processes (of psutil) in which LocalExecutor runs tasks now."""
        import psutil

        found: list[Any] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for worker in psutil.Process(self.processes["scheduler"].pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "LocalExecutor" in " ".join(worker.cmdline()):
                        found += worker.children()
        return found

    def kill_tasks(self) -> None:
        """SIGKILL all tasks that run now; the scheduler and its executor live."""
        import psutil

        for process in self.task_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        end = time.monotonic() + 15
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
        for name in list(self.processes):
            self.kill(name)

    def check_running(self) -> None:
        """Fail at once when a process has ended by itself; nobody has to wait for it then."""
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        assert not ended, f"ended by itself: {ended}\n{self.logs()}"

    def query(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        import psycopg2

        self.check_running()
        with contextlib.closing(psycopg2.connect(self._database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def execute(self, sql: str, **values: Any) -> None:
        """Change something in the database."""
        import psycopg2

        connection = psycopg2.connect(self._database)
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(sql, values)

    @property
    def _database(self) -> str:
        return self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")

    def states(self, dag_id: str, task_id: str) -> dict[str, int]:
        """How many instances of a task are in which state."""
        rows = self.query(
            "select coalesce(state, 'none'), count(*) from task_instance where dag_id = %(dag)s and task_id = %(task)s "
            "group by 1",
            dag=dag_id,
            task=task_id,
        )
        return dict(rows)  # type: ignore[arg-type]

    def logs(self) -> str:
        """The ends of all logs, for the message of a failure."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-2500:]}" for path in sorted(self.home.glob("*.log")))

    def trigger(self, dag_id: str) -> None:
        """Start a run of a Dag as soon as the Dag is known."""
        until(
            lambda: self.query("select 1 from serialized_dag where dag_id = %(dag)s", dag=dag_id),
            120,
            f"{dag_id} is parsed",
        )
        self.airflow("dags", "unpause", dag_id)
        self.airflow("dags", "trigger", dag_id)


@contextlib.contextmanager
def running(environment: dict[str, str], source: Path | None = None) -> Iterator[Deployment]:
    """Run everything; on the way out, stop everything."""
    home = Path(tempfile.mkdtemp(prefix="iinked-deployment-"))
    with postgres() as database:
        deployment = Deployment(home, database, environment, source)
        try:
            deployment.start_all()
            yield deployment
        finally:
            deployment.stop()
            shutil.rmtree(home, ignore_errors=True)
