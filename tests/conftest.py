"""
What all tests share: an Airflow home of their own, operators run by hand, and whole Dags run by Airflow.

Nothing here imports Airflow: the home has to be settled before the first import does.
"""

from __future__ import annotations

import atexit
import bisect
import collections
import contextlib
import fcntl
import functools
import importlib.util
import inspect
import itertools
import os
import shutil
import sqlite3
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# One folder for a test run: the processes of pytest-xdist find it in their environment, and who made it removes it.
if "IINKED_TESTS_FOLDER" not in os.environ:
    os.environ["IINKED_TESTS_FOLDER"] = tempfile.mkdtemp(prefix="airflow-provider-iinked-tests-")
    atexit.register(shutil.rmtree, os.environ["IINKED_TESTS_FOLDER"], ignore_errors=True)
FOLDER = Path(os.environ["IINKED_TESTS_FOLDER"])
HOME = FOLDER / f"home-{os.getpid()}"
DAGS = HOME / "dags"
DAGS.mkdir(parents=True)

for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "AIRFLOW__"))]:
    del os.environ[name]
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__LOGGING__LOGGING_LEVEL="INFO",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    NO_PROXY="127.0.0.1,localhost",
    no_proxy="127.0.0.1,localhost",
)

# A busy machine makes a single example slow; how quick something is, is measured elsewhere.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

pytest_plugins = ["airflow_provider_iinked.simulator.pytest_plugin"]

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Let two processes run all Dags (pytest-xdist's loadgroup), those of sensors and the rest.

    What Airflow loads for the first takes ten seconds of CPU; one process for all would be the last to end.
    """
    for item in items:
        if "airflow_db" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("sensors" if "sensors" in item.path.parts else "dags"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that was made for certain tests and skipped one (``make test-celery`` without Redis, say)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("IINKED_SKIP_NOTHING") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def let_operators_run_here() -> None:
    """Airflow 2.11 lets operators run only in the thread that imported it; some tests stand for another run in one."""
    with contextlib.suppress(ImportError, AttributeError):
        from airflow.models.baseoperator import ExecutorSafeguard

        if not hasattr(ExecutorSafeguard._sentinel, "callers"):
            ExecutorSafeguard._sentinel.callers = {}


@dataclass(frozen=True)
class Chain:
    """The simulator, a folder for copies, and the provider's tasks, each run by ``execute({})``."""

    sim: Any
    folder: Path

    @property
    def destination(self) -> str:
        return f"file://{self.folder}"

    @property
    def ledger(self) -> Any:
        return self.sim.ledger

    def package(self, *videos: dict[str, Any] | str, **fields: Any) -> tuple[str, list[str]]:
        """Make a package with recordings of 200 kB; give its id and theirs."""
        package = self.sim.add_package(**fields)
        return package, [
            self.sim.add_video(package, **({"meeting_video_id": video} if isinstance(video, str) else video))
            for video in videos
        ]

    def sensor(self, package_id: Any, **arguments: Any) -> Any:
        from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

        arguments = {"poke_interval": 0.05, "timeout": 20.0, **arguments}
        return IinkedVideosArchivedSensor(task_id=f"wait_{next(_numbers)}", package_id=package_id, **arguments)

    def wait(self, package_id: Any, **arguments: Any) -> Any:
        return self.sensor(package_id, **arguments).execute({})

    def download(self, package_id: Any, **arguments: Any) -> Any:
        from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

        arguments = {"destination": self.destination, **arguments}
        task_id = f"download_{next(_numbers)}"
        let_operators_run_here()
        return IinkedDownloadVideosOperator(task_id=task_id, package_id=package_id, **arguments).execute({})

    def delete(self, **arguments: Any) -> Any:
        from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator

        return IinkedDeleteVideosOperator(task_id=f"delete_{next(_numbers)}", **arguments).execute({})

    def list_packages(self, **arguments: Any) -> Any:
        from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator

        return IinkedListPackagesOperator(task_id=f"packages_{next(_numbers)}", **arguments).execute({})

    def path(self, package_id: str, name: str = "") -> Path:
        return self.folder / package_id / name

    def names(self, package_id: str) -> list[str]:
        folder = self.path(package_id)
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def when(condition: Callable[[], object], act: Callable[[], object]) -> threading.Thread:
    """Let a thread act as soon as something has come about: sleeping instead would hope that it has."""

    def watch() -> None:
        until = time.monotonic() + 60
        while not condition() and time.monotonic() < until:
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries last milliseconds; how long they are meant to be is tested on its own."""
    from airflow_provider_iinked.api import retries as patience

    class Quick:
        @staticmethod
        def uniform(low: float, high: float) -> float:
            return 0.01

    monkeypatch.setattr(patience, "random", Quick)


@dataclass
class Departures:
    """When requests left, as the limiters of all clients decided, on the clients' own clock: not when they arrived."""

    times: list[float] = field(default_factory=list)
    pauses: list[tuple[float, int]] = field(default_factory=list)
    """Until when each pause holds, and how many had left before it began."""

    def most_within(self, width: float) -> int:
        return max(bisect.bisect_left(self.times, at + width - 1e-9) - index for index, at in enumerate(self.times))

    def after_pause(self) -> list[float]:
        """Those since the first pause began, as seconds after its end."""
        until, before = self.pauses[0]
        return [at - until for at in self.times[before:]]


@pytest.fixture
def departures(monkeypatch: pytest.MonkeyPatch) -> Departures:
    from airflow_provider_iinked.api.rate_limit import RateLimiter

    seen, lock = Departures(), threading.Lock()
    depart, pause = RateLimiter.depart, RateLimiter.pause

    def noted_departure(self: RateLimiter, at: float) -> bool:
        with lock:
            left = depart(self, at)
            seen.times.extend([at] if left else [])
            return left

    def noted_pause(self: RateLimiter, until: float) -> None:
        with lock:
            pause(self, until)
            if until > time.monotonic():
                seen.pauses.append((until, len(seen.times)))

    monkeypatch.setattr(RateLimiter, "depart", noted_departure)
    monkeypatch.setattr(RateLimiter, "pause", noted_pause)
    return seen


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> dict[Any, list[float]]:
    """The points at which each wait is to poll, by its slot, as the timetable says: not when it did."""
    from airflow_provider_iinked.api.poll_schedule import PollSchedule, Slot

    points: dict[Any, list[float]] = collections.defaultdict(list)
    next_poll = PollSchedule.next_poll

    def noted(self: PollSchedule, slot: Slot, now: float) -> float:
        points[slot].append(next_poll(self, slot, now))
        return points[slot][-1]

    monkeypatch.setattr(PollSchedule, "next_poll", noted)
    return points


@pytest.fixture
def connect(iinked_simulator: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Point the default connection at the simulator, with extras of the test's choice."""

    def set_connection(**extra: Any) -> None:
        for name, value in iinked_simulator.connection_env(**extra).items():
            monkeypatch.setenv(name, value)

    return set_connection


@pytest.fixture
def chain(iinked_simulator: Any, connect: Callable[..., None], quick: None, tmp_path: Path) -> Iterator[Chain]:
    # Airflow 2.11 lets operators run only in the thread that imported them first: this one.
    import airflow_provider_iinked.operators.videos  # noqa: F401

    connect(timeout=20, max_retries=2)
    yield Chain(iinked_simulator, tmp_path / "copies")
    forget_secrets()


def forget_secrets() -> None:
    """Empty Airflow's masker: it compiles all secrets anew for each, and a process of tests gathers thousands."""
    homes = ("sdk._shared.secrets_masker", "sdk.execution_time.secrets_masker", "utils.log.secrets_masker")
    for home in homes:
        if module := sys.modules.get(f"airflow.{home}"):
            masker = module._secrets_masker()
            masker.patterns, masker.replacer = set(), None
            return


@dataclass(frozen=True)
class DagResult:
    """What became of a Dag run."""

    run: Any

    @property
    def state(self) -> str:
        return str(self.run.state)

    @property
    def states(self) -> dict[str, str]:
        """State by task id, mapped ones as ``task[0]``."""
        named = {}
        for ti in self.run.get_task_instances():
            named[ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"] = str(ti.state)
        return named

    def date_argument(self) -> dict[str, Any]:
        """What makes ``dag.test()`` run this very run again."""
        from airflow.providers.common.compat.sdk import DAG

        name = "logical_date" if "logical_date" in inspect.signature(DAG.test).parameters else "execution_date"
        return {name: self.run.logical_date}

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        from airflow.utils.session import create_session
        from sqlalchemy import select

        Model = _xcom_model()
        where = {"dag_id": self.run.dag_id, "run_id": self.run.run_id, "task_id": task_id, "key": key}
        with create_session() as session:
            row = session.scalar(select(Model).filter_by(map_index=map_index, **where))
            if row is None:
                return None
            # Airflow 2 decodes the value when it loads the row.
            return Model.deserialize_value(row) if Model.__name__ == "XComModel" else row.value

    def xcom_texts(self) -> str:
        """All XComs of the run as they lie in the database."""
        from airflow.utils.session import create_session
        from sqlalchemy import select

        model = _xcom_model()
        with create_session() as session:
            rows = list(session.execute(select(model.key, model.value).where(model.run_id == self.run.run_id)))
        assert rows
        return repr(rows)


def _xcom_model() -> Any:
    from airflow.models import xcom

    return getattr(xcom, "XComModel", None) or xcom.XCom


def copy_database(source: Path, target: Path) -> None:
    """Copy through SQLite itself: what was written may still lie in a write-ahead log, on either side."""
    with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target)) as other:
        one.backup(other)


def share_the_task_api() -> None:
    """Build the API that the tasks of ``dag.test()`` speak to once a process, as Airflow does itself from 3.3 on."""
    with contextlib.suppress(ImportError):  # Airflow 2.11 has none
        from airflow.sdk.execution_time import supervisor

        if not hasattr(supervisor.in_process_api_server, "cache_clear"):
            supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """A migrated database; with several test processes the first one makes it, and the others copy it."""
    share_the_task_api()
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        template = FOLDER / "airflow.db"
        if template.exists():
            copy_database(template, HOME / "airflow.db")
            with contextlib.suppress(ImportError):
                # Airflow 2.11 deletes no run before it knows this table of users; making the database loads it.
                import airflow.providers.fab.auth_manager.models
            return
        import airflow.models  # noqa: F401
        from airflow.utils.db import initdb

        initdb()
        copy_database(HOME / "airflow.db", template)


@pytest.fixture
def run_dag(airflow_db: None) -> Iterator[Callable[..., DagResult]]:
    """
    Run a Dag, written as the text of a Dag file, by ``dag.test()``; the file's name is the Dag's id.

    ``{dag_id}`` in the text is replaced; a second call with the Dag of a result and its date is what clearing the whole
    run does.
    """
    files: list[Path] = []

    def run(source: str, *, again: DagResult | None = None, **conf: Any) -> DagResult:
        dag_id = again.run.dag_id if again else f"dag_{os.getpid()}_{next(_numbers)}"
        file = DAGS / f"{dag_id}.py"
        file.write_text(textwrap.dedent(source).replace("{dag_id}", dag_id))
        files.append(file)
        spec = importlib.util.spec_from_file_location(dag_id, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[dag_id] = module
        spec.loader.exec_module(module)
        return DagResult(module.dag.test(run_conf=conf or None, **(again.date_argument() if again else {})))

    yield run
    for file in files:
        file.unlink(missing_ok=True)
        sys.modules.pop(file.stem, None)
