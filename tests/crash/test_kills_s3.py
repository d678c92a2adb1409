"""The same on S3 (moto's server): multipart uploads, markers, and what a killed one leaves open."""

from __future__ import annotations

import importlib.util
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("moto", reason="run in the environment of the object stores")
pytest.importorskip("s3fs")
if not importlib.util.find_spec("airflow.providers.amazon"):
    pytest.skip("needs the amazon provider", allow_module_level=True)

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.crash.victim import Chain, Zygote, fill, live_on
from tests.stores.store_servers import S3Bucket, s3_server

KILLS = int(os.environ.get("KILLS", "25"))
SEED = int(os.environ.get("KILLS_SEED", "7"))
SIZES = (200_000, 9_000_000)
"""One that goes in a single request, and one that goes in parts (from 8 MiB on)."""


class Bucket:
    """A bucket as the place of a chain's copies."""

    def __init__(self, endpoint: str, name: str) -> None:
        self._bucket = S3Bucket(endpoint, name)
        self.url = self._bucket.url
        self.environment = dict([self._bucket.connection()])

    def names(self, package_id: str) -> list[str]:
        prefix = f"copies/{package_id}/"
        return sorted(key.removeprefix(prefix) for key in self._bucket.names(prefix))

    def read(self, package_id: str, name: str) -> bytes:
        return self._bucket.get(f"copies/{package_id}/{name}")

    def litter(self) -> list[str]:
        return self._bucket.open_uploads()

    def forget(self, package_id: str) -> None:
        for key in self._bucket.names(f"copies/{package_id}/"):
            self._bucket.remove(key)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with s3_server(tmp_path) as endpoint:
        yield Bucket(endpoint, "evidence")


@pytest.mark.parametrize("aim", ["after-a-random-time", "at-a-random-act"])
def test_nothing_is_lost_and_the_retry_finishes_on_s3(
    zygote: Zygote, sim: IinkedSimulator, bucket: Bucket, capsys: pytest.CaptureFixture[str], aim: str
) -> None:
    rng = random.Random(f"{SEED} s3 {aim}")
    kills: Counter[str] = Counter()
    chains = clears = 0
    while sum(kills.values()) < -(-KILLS // 2):
        chain = Chain(sim, bucket, fill(sim, rng, SIZES), stamped=True)
        aims = (100, 1000) if aim == "at-a-random-act" else (0.2, 2.0)
        clears += live_on(zygote, chain, rng, aims, kills)
        bucket.forget(chain.package_id)
        chains += 1
    with capsys.disabled():
        print(f"\n{sum(kills.values())} kills on S3 {aim}, {chains} chains finished, {clears} cleared between:")
        for where, count in sorted(kills.items()):
            print(f"  {count:4d}  {where}")
