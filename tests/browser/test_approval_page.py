"""
The example "evidence grade" as a whole: two S3 servers with Object Lock, a real scheduler, and a person who answers on
Airflow's own page in Chromium.

Runs where PostgreSQL, moto, Playwright and Chromium are installed. ``IINKED_SCREENSHOTS=docs/images`` keeps the
pictures.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.deployment import postgres_binaries, running, until
from tests.deployment.rest_api import PATIENCE, Api, Run, users
from tests.stores.store_servers import S3Bucket, s3_server

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("moto")
pytest.importorskip("s3fs")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
    pytest.mark.skipif(postgres_binaries() is None, reason="no PostgreSQL"),
]

ROOT = Path(__file__).parents[2]
DAG = "iinked_sign_evidence_grade"
GROUP = "archive_and_delete_videos"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


class EvidenceRun(Run):
    """A run of the example."""

    approval = f"{GROUP}.approve"


@pytest.fixture(scope="module")
def sim() -> Iterator[IinkedSimulator]:
    with IinkedSimulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[S3Bucket]]:
    with contextlib.ExitStack() as stack:
        endpoints = [stack.enter_context(s3_server(tmp_path_factory.mktemp(name))) for name in ("one", "two")]
        names = ("evidence-berlin", "evidence-toronto")
        yield [
            S3Bucket(endpoint, name, ObjectLockEnabledForBucket=True)
            for endpoint, name in zip(endpoints, names, strict=True)
        ]


@pytest.fixture(scope="module")
def api(sim: IinkedSimulator, buckets: list[S3Bucket], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("evidence")
    environment = {
        **sim.connection_env(),
        **users(folder / "passwords.json"),
        **dict(bucket.connection() for bucket in buckets),
        "AIRFLOW_VAR_IINKED_DESTINATION": buckets[0].url,
        "AIRFLOW_VAR_IINKED_SECOND_DESTINATION": buckets[1].url,
    }
    with running(environment) as deployment:
        shutil.copy(ROOT / "example_dags" / f"{DAG}.py", deployment.dags)
        yield Api(deployment, sim, folder)


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = chromium.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        yield page
        chromium.close()


def start(api: Api) -> EvidenceRun:
    package = api.sim.add_package()
    videos = [api.sim.add_video(package, size=size) for size in (1_400_000, 6_200_000)]
    until(lambda: api.status("GET", f"/dags/{DAG}") == 200, PATIENCE, f"{DAG} is parsed")
    api.call("PATCH", f"/dags/{DAG}", {"is_paused": False})
    run_id = f"evidence-{package[:8]}"
    body = {"dag_run_id": run_id, "logical_date": None, "conf": {"package_id": package}}
    api.call("POST", f"/dags/{DAG}/dagRuns", body, "ada")
    return EvidenceRun(api, DAG, run_id, package, videos, Path("copies") / package)


def keep_picture(page: Any, name: str) -> None:
    if folder := os.environ.get("IINKED_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def open_question(page: Any, run: EvidenceRun, user: str) -> None:
    """Log in and open the page of the required action."""
    url = run.airflow.url
    page.goto(f"{url}/auth/login")
    page.locator("input[name='username']").fill(user)
    page.locator("input[name='password']").fill(user)
    page.locator("input[name='password']").press("Enter")
    page.wait_for_url(lambda at: "/auth/" not in at)
    page.goto(f"{url}/dags/{DAG}/runs/{run.run_id}/tasks/{run.approval}/required_actions")
    page.get_by_role("table").first.wait_for()


def test_another_person_approves_on_airflows_page_and_exactly_that_is_deleted(
    api: Api, buckets: list[S3Bucket], page: Any
) -> None:
    run = start(api)
    run.wait_for_question()
    assert api.sim.ledger.delete_requests == []
    open_question(page, run, "bob")
    table = page.get_by_role("table").first.inner_text()
    assert all(video in table for video in run.videos)
    assert all(bucket.name in table for bucket in buckets)
    assert "COMPLIANCE" in table
    keep_picture(page, "approval")

    page.get_by_role("button", name="Approve", exact=True).click()

    run.wait(f"{GROUP}.delete", "success")
    page.reload()
    page.get_by_text(re.compile("Response by|bob")).first.wait_for()
    keep_picture(page, "approval-answered")
    assert sorted(api.sim.ledger.deletions) == sorted(run.videos)
    for bucket in buckets:
        for video in run.videos:
            key = f"copies/{run.package}/{video}"
            receipt = json.loads(bucket.get(f"{key}.deletion.json"))
            assert (receipt["status"], receipt["approval"]["responded_by"]) == ("deleted", "bob")
            assert len(receipt["proof"]["copies"]) == 2
            for name in (f"{key}.mp4", f"{key}.custody.json"):
                assert bucket.client.head_object(Bucket=bucket.name, Key=name)["ObjectLockMode"] == "COMPLIANCE"
            assert "ObjectLockMode" not in bucket.client.head_object(Bucket=bucket.name, Key=f"{key}.deletion.json")


def test_the_person_who_triggered_the_run_may_not_approve_it(api: Api) -> None:
    before = len(api.sim.ledger.delete_requests)
    run = start(api)
    assert run.answer("Approve", user="ada") == 200
    run.wait(run.approval, "failed")
    run.wait(f"{GROUP}.delete", "upstream_failed")
    assert len(api.sim.ledger.delete_requests) == before
