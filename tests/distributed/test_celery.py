"""
20 packages through CeleryExecutor, some one by one, most in batches: a worker is lost while it copies a batch, the
broker is restarted once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import textwrap
import time
from pathlib import Path

import pytest

pytest.importorskip("celery", reason="run by `make test-celery`, in an environment of its own")
pytest.importorskip("psycopg2")
pytest.importorskip("moto")

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.deployment import postgres_binaries, until
from tests.distributed.celery_cluster import Cluster, Redis, running
from tests.stores.store_servers import S3Bucket, s3_server

if shutil.which("redis-server") is None or postgres_binaries() is None:
    pytest.skip("needs redis-server and postgresql from Debian", allow_module_level=True)

PACKAGES = 20
BATCHES = 4
BATCH = 4
VIDEOS = 3
WORKERS = ("worker-1", "worker-2")
PATIENCE = float(os.environ.get("PATIENCE", "1200"))

DAG = """
    # a dag of airflow
    from datetime import datetime, timedelta
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

    with DAG(
        dag_id="archive",
        start_date=datetime(2026, 1, 1),
        schedule=None,
        default_args={"retries": 5, "retry_delay": timedelta(seconds=2)},
    ) as dag:
        archive_and_delete_videos.partial(
            destination="DESTINATION", poke_interval=2, deferrable=False
        ).expand(package_id=PACKAGES)
"""


def _run_state(cluster: Cluster) -> str | None:
    rows = cluster.query("select state from dag_run where dag_id = 'archive'")
    return rows[0][0] if rows else None


def _done(cluster: Cluster, task: str) -> int:
    return cluster.states("archive", f"archive_and_delete_videos.{task}").get("success", 0)


def test_the_chain_survives_a_lost_worker_and_a_restarted_broker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with IinkedSimulator(latency=0.02, recording_rate=100_000.0) as sim, s3_server(tmp_path) as endpoint:
        bucket = S3Bucket(endpoint, "evidence")
        packages = [sim.add_package(videos=[{"size": 150_000}] * VIDEOS) for _ in range(PACKAGES)]
        batches = [packages[BATCH * number : BATCH * (number + 1)] for number in range(BATCHES)]
        mapped = [*batches, *packages[BATCH * BATCHES :]]
        environment = {**sim.connection_env(max_retries=3), **dict([bucket.connection()])}
        with running(environment) as (cluster, broker):
            text = textwrap.dedent(DAG).replace("PACKAGES", repr(mapped)).replace("DESTINATION", bucket.url)
            (cluster.dags / "archive.py").write_text(text)
            try:
                story = _live_through_it(cluster, broker, sim)
            except BaseException:
                with capsys.disabled():
                    print(cluster.logs())
                raise
            _check_nothing_lost(sim, bucket)
            cluster.check_homes(sim.api_key, "access=")
            tries = cluster.query("select max(try_number) from task_instance where dag_id = 'archive'")[0][0]
    with capsys.disabled():
        print(f"\n{PACKAGES} packages, {PACKAGES * VIDEOS} recordings: {story}; most tries of a task: {tries}")


def _live_through_it(cluster: Cluster, broker: Redis, sim: IinkedSimulator) -> str:
    started = time.monotonic()
    cluster.trigger("archive")
    until(lambda: _done(cluster, "download") >= 1, PATIENCE, "a download is done")
    lost = until(lambda: _worker_with_a_batch(cluster, sim), 120, "a batch is being copied")
    cluster.lose(lost)
    lost_at = time.monotonic() - started
    until(lambda: _done(cluster, "delete") >= 3, PATIENCE, "three deletions are done by the worker that is left")
    broker.stop()
    time.sleep(3)
    broker.start()
    restarted_at = time.monotonic() - started
    cluster.start_worker("worker-3")
    until(lambda: _run_state(cluster) in ("success", "failed"), PATIENCE, "the run ends")
    assert _run_state(cluster) == "success", cluster.states("archive", "archive_and_delete_videos.delete")
    for worker in WORKERS:
        assert cluster.tasks_done_by(worker), f"{worker} has done nothing"
    return (
        f"{lost} lost with a batch after {lost_at:.0f} s, the broker restarted after {restarted_at:.0f} s, "
        f"all done after {time.monotonic() - started:.0f} s"
    )


def _worker_with_a_batch(cluster: Cluster, sim: IinkedSimulator) -> str | None:
    """A worker that copies a batch, while a recording is being fetched."""
    if not any(request.sent is None for request in sim.ledger.requests(call="recording")):
        return None
    rows = cluster.query(
        "select external_executor_id from task_instance where state = 'running' and map_index < %(batches)s "
        "and task_id = 'archive_and_delete_videos.download'",
        batches=BATCHES,
    )
    return next((name for name in WORKERS for (task,) in rows if task and cluster.has_received(name, task)), None)


def _check_nothing_lost(sim: IinkedSimulator, bucket: S3Bucket) -> None:
    keys = set(bucket.names())
    videos = [(package.package_id, video) for package in sim.packages() for video in package.videos]
    assert sorted(sim.ledger.deletions) == sorted(video for _, video in videos)
    assert all(deletion.by_id for deletion in sim.ledger.deletion_records)
    for package, video in videos:
        stem = f"copies/{package}/{video}"
        copy = bucket.get(f"{stem}.mp4")
        record = json.loads(bucket.get(f"{stem}.custody.json"))
        receipt = json.loads(bucket.get(f"{stem}.deletion.json"))
        assert hashlib.sha256(copy).hexdigest() == record["sha256"] == sim.sha256(video)
        assert receipt["status"] == "deleted"
        assert receipt["proof"]["sha256"] == record["sha256"]
    expected = {f"copies/{p}/{v}.{end}" for p, v in videos for end in ("mp4", "custody.json", "deletion.json")}
    assert keys == expected, "something else lies in the store"
