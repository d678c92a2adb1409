"""A verification on a budget goes on where the last one stopped, also where that one was killed."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import islice

import pytest

from airflow_provider_iinked import progress
from airflow_provider_iinked.custody import verification_log
from airflow_provider_iinked.custody.keys import load_signing_key
from airflow_provider_iinked.custody.verify import Budget, Verifier
from tests.custody.sealed_archives import SignedArchive, make_pem

PACKAGES = [f"p{number:02}" for number in range(12)]
RUN = """
import logging, os, sys, time
from airflow_provider_iinked.custody import verification_log
from airflow_provider_iinked.custody.verify import Budget, Verifier
from airflow_provider_iinked.storage.local import LocalStore

sha256 = LocalStore.sha256
def slow(self, *arguments, **options):
    time.sleep(0.02)
    return sha256(self, *arguments, **options)
LocalStore.sha256 = slow
verification_log._SAVE_EVERY = 0.0
for finding in Verifier(sys.argv[1], max_parallel=4, budget=Budget(max_seconds=600)).findings():
    print("FOUND", finding.package_id, flush=True)
"""


@pytest.fixture
def archive(tmp_path):
    """Twelve packages with three recordings each, and one folder in which nothing lies."""
    archive = SignedArchive(tmp_path / "archive", load_signing_key(make_pem()))
    archive.url = f"file://{tmp_path}/archive"
    for package in PACKAGES:
        for video in ("v1", "v2", "v3"):
            archive.record(package, video, api_base="https://api.test")
    (archive.root / "p04-empty").mkdir()
    return archive


@pytest.fixture
def saved_at_once(monkeypatch):
    monkeypatch.setattr(verification_log, "_SAVE_EVERY", 0.0)


def noted(archive):
    file = archive.root / "_verified.json"
    return set(json.loads(file.read_text())["verified_at"]) if file.exists() else set()


def test_a_package_counts_as_verified_when_its_last_recording_has_been_looked_at(archive, saved_at_once):
    findings = Verifier(archive.url, max_parallel=8, budget=Budget(max_seconds=600)).findings()
    for number, finding in enumerate(findings):
        assert not noted(archive) - {"p04-empty"} - set(PACKAGES[: number // 3]), finding
    assert noted(archive) == {*PACKAGES, "p04-empty"}


@pytest.mark.parametrize("after", [1, 8, 20])
def test_a_run_that_is_killed_loses_no_package_and_the_next_one_begins_with_the_rest(archive, after):
    with subprocess.Popen(
        [sys.executable, "-c", RUN, archive.url], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    ) as run:
        found = (line.split()[1] for line in run.stdout if line.startswith("FOUND "))
        seen = list(islice(found, after))
        run.send_signal(signal.SIGKILL)
        seen += found
    whole = {package for package, count in Counter(seen).items() if count == 3}
    before = noted(archive)
    assert before - {"p04-empty"} <= whole
    assert len(before) >= after // 3 - 1

    rest = [finding.package_id for finding in Verifier(archive.url, budget=Budget(max_seconds=600)).findings()]
    not_yet = [package for package in PACKAGES if package not in before]
    assert list(dict.fromkeys(rest))[: len(not_yet)] == not_yet


def test_small_budgets_come_round_to_every_package_before_any_comes_twice(archive):
    looked_at = []
    while len(looked_at) < 2 * len(PACKAGES):
        run = Verifier(archive.url, max_parallel=1, budget=Budget(max_bytes=1)).findings()
        looked_at += dict.fromkeys(finding.package_id for finding in run)
    assert sorted(looked_at[: len(PACKAGES)]) == PACKAGES
    assert sorted(looked_at[len(PACKAGES) : 2 * len(PACKAGES)]) == PACKAGES


def test_every_ten_seconds_a_line_says_how_far_it_is(archive, monkeypatch, caplog):
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    caplog.set_level(logging.INFO)
    list(Verifier(archive.url).findings())
    lines = [line for line in caplog.messages if " of 13 packages, " in line]
    assert len(lines) == 36
    assert lines[-1].startswith("12 of 13 packages, 36 recordings done; ")
    assert lines[-1].endswith(" s left")
