"""The chain where Airflow keeps what tasks hand over in an object store, and only its address in the database."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("psycopg2", reason="needs psycopg2-binary")

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.archive import check_all_archived
from tests.deployment.deployment import postgres_binaries, running

if postgres_binaries() is None:
    pytest.skip("needs PostgreSQL's server (Debian: postgresql)", allow_module_level=True)

PATIENCE = 900
GROUP = "archive_and_delete_videos"
DAG = """
    # a dag of airflow
    from datetime import datetime
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

    with DAG(dag_id="archive", start_date=datetime(2026, 1, 1), schedule=None) as dag:
        archive_and_delete_videos.partial(
            destination={destination!r}, poke_interval=10, deferrable=False
        ).expand(package_id={packages!r})
"""


def test_the_chain_hands_its_lists_over_through_an_object_store(tmp_path: Path) -> None:
    xcoms = tmp_path / "xcoms"
    backend = {
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{xcoms}",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
    }
    with IinkedSimulator() as sim:
        packages = [sim.add_package(videos=[{}] * 3) for _ in range(4)]
        mapped = [packages[0], packages[1:]]
        with running({**sim.connection_env(), **backend}) as airflow, airflow.logs_on_failure():
            text = textwrap.dedent(DAG).format(destination=f"file://{tmp_path}/copies", packages=mapped)
            (airflow.dags / "archive.py").write_text(text)
            airflow.trigger("archive")
            airflow.wait_for_success("archive", PATIENCE)
            rows = airflow.query(
                "select value #>> '{}' from xcom where task_id = %(task)s and key = 'return_value'",
                task=f"{GROUP}.download",
            )
        check_all_archived(sim, tmp_path / "copies", packages)
    stored = [_unquoted(value) for (value,) in rows]
    assert len(stored) == len(mapped)
    assert all(value.startswith(f"file://{xcoms}/") for value in stored), f"more than addresses: {stored}"
    lists = [json.loads(Path(value.removeprefix("file://")).read_text()) for value in stored]
    assert sorted(len(copies) for copies in lists) == [3, 9]


def _unquoted(value: str) -> str:
    """What JSON holds, however often a text was put into JSON."""
    while value.startswith('"'):
        value = json.loads(value)
    return value
