"""The same on object stores, each on a server on loopback: uploads in parts, markers, what a kill leaves open."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.crash.victim import Chain, Zygote, assert_finished, assert_nothing_lost, fill, live_on, moment
from tests.servers import gcs
from tests.stores import store_servers

if lacking := store_servers.missing():
    pytest.skip(f"lacks {lacking}", allow_module_level=True)

KILLS = int(os.environ.get("KILLS", "25"))
SEED = int(os.environ.get("KILLS_SEED", "7"))
SIZES = (200_000, 9_000_000)
"""One that goes in a single request, and one that goes in parts (from 8 MiB on)."""
ACTS = {"s3": (100, 1000), "gcs": (100, 1300), "azure": (100, 1400)}
"""Between which acts the random ones fall, as measured: a life opens the store, then writes."""


class Bucket:
    """A bucket as the place of a chain's copies."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket
        self.kind, self.url = bucket.kind, bucket.url
        self.environment = dict([bucket.connection()])

    def names(self, package_id: str) -> list[str]:
        prefix = f"copies/{package_id}/"
        return sorted(key.removeprefix(prefix) for key in self._bucket.names(prefix))

    def read(self, package_id: str, name: str) -> bytes:
        return bytes(self._bucket.get(f"copies/{package_id}/{name}"))

    def litter(self) -> list[str]:
        return list(self._bucket.open_uploads())

    def forget(self, package_id: str) -> None:
        for key in self._bucket.names(f"copies/{package_id}/"):
            self._bucket.remove(key)


@pytest.fixture(scope="module", params=["s3", "gcs", "azure"])
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "s3":
            yield Bucket(store_servers.S3Bucket(stack.enter_context(store_servers.s3_server(folder)), "evidence"))
        elif request.param == "gcs":
            yield Bucket(stack.enter_context(gcs.gcs(folder)).bucket("evidence"))
        else:
            endpoint = stack.enter_context(store_servers.azure_server(folder))
            yield Bucket(store_servers.AzureContainer(endpoint, "evidence"))


@pytest.mark.parametrize("aim", ["after-a-random-time", "at-a-random-act"])
def test_nothing_is_lost_and_the_retry_finishes_on_a_store(
    zygote: Zygote, sim: IinkedSimulator, bucket: Bucket, capsys: pytest.CaptureFixture[str], aim: str
) -> None:
    rng = random.Random(f"{SEED} {bucket.kind} {aim}")
    kills: Counter[str] = Counter()
    chains = clears = 0
    while sum(kills.values()) < -(-KILLS // 2):
        chain = Chain(sim, bucket, fill(sim, rng, SIZES), stamped=True)
        aims = ACTS[bucket.kind] if aim == "at-a-random-act" else (0.2, 2.0)
        clears += live_on(zygote, chain, rng, aims, kills)
        bucket.forget(chain.package_id)
        chains += 1
    _report(capsys, f"kills on {bucket.kind} {aim}, {chains} chains finished, {clears} cleared between", kills)


@pytest.mark.parametrize("task", ["download", "delete"])
def test_a_kill_at_each_single_act_on_a_store(
    zygote: Zygote, sim: IinkedSimulator, bucket: Bucket, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    """One recording in parts and one in a single request; all acts from the first to the last, in steps."""
    step = int(os.environ.get("KILLS_STEP", "101"))
    kills: Counter[str] = Counter()
    for act in range(1, 20_000, step):
        package = sim.add_package(videos=[{"size": size} for size in SIZES])
        chain = Chain(sim, bucket, package, stamped=True)
        while chain.task != task:
            chain.take(zygote.live(chain.order()))
        ended = zygote.live(chain.order(kill_at_act=act))
        if not ended["killed"]:
            break
        kills[moment(chain)] += 1
        assert_nothing_lost(chain)
        while chain.task is not None:
            chain.take(zygote.live(chain.order()))
        assert_finished(chain)
        bucket.forget(package)
    assert kills
    _report(capsys, f"kills of {task} on {bucket.kind}, at every {step}th act", kills)


def _report(capsys: pytest.CaptureFixture[str], what: str, kills: Counter[str]) -> None:
    with capsys.disabled():
        print(f"\n{sum(kills.values())} {what}:")
        for where, count in sorted(kills.items()):
            print(f"  {count:4d}  {where}")
