"""SIGKILL at any moment of the chain: nothing is lost, nothing is half published, the retry finishes the job."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.crash.victim import (
    Chain,
    LocalFolder,
    Zygote,
    assert_finished,
    assert_nothing_lost,
    fill,
    live_on,
    moment,
    wait_until_quiet,
)

KILLS = int(os.environ.get("KILLS", "25"))
SEED = int(os.environ.get("KILLS_SEED", "7"))


@pytest.mark.parametrize("stamped", [True, False], ids=["in-a-dag-run", "without-context"])
@pytest.mark.parametrize("aim", ["after-a-random-time", "at-a-random-act"])
def test_nothing_is_lost_and_the_retry_finishes(
    zygote: Zygote, sim: IinkedSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], aim: str, stamped: bool
) -> None:
    rng = random.Random(f"{SEED} {aim} {stamped}")
    kills: Counter[str] = Counter()
    chains = clears = 0
    while sum(kills.values()) < -(-KILLS // 4):
        chain = Chain(sim, LocalFolder(tmp_path), fill(sim, rng), stamped, map_index=rng.choice([-1, 3]))
        # A life takes, as measured, 100 ms and 100 acts, with each recording 30 ms and 50 acts more.
        aims = (30, 90 + 50 * chain.videos) if aim == "at-a-random-act" else (0.05, 0.1 + 0.03 * chain.videos)
        clears += live_on(zygote, chain, rng, aims, kills)
        chains += 1
    _report(capsys, f"kills {aim}, {chains} chains finished, {clears} cleared between", kills)


@pytest.mark.parametrize("task", ["download", "delete"])
def test_a_kill_at_each_single_act(
    zygote: Zygote, sim: IinkedSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    step = 1 if KILLS >= 200 else 29
    kills: Counter[str] = Counter()
    for act in range(1, 1000, step):
        chain = Chain(sim, LocalFolder(tmp_path), sim.add_package(videos=[{"size": 60_000}]), stamped=True)
        while chain.task != task:
            chain.take(zygote.live(chain.order()))
        ended = zygote.live(chain.order(kill_at_act=act))
        if not ended["killed"]:
            break
        wait_until_quiet(sim)
        kills[moment(chain)] += 1
        assert_nothing_lost(chain)
        while chain.task is not None:
            chain.take(zygote.live(chain.order()))
        assert_finished(chain)
    assert sum(kills.values()) >= 100 // step
    _report(capsys, f"kills of {task}, at every act" if step == 1 else f"kills of {task}, at every {step}th act", kills)


def _report(capsys: pytest.CaptureFixture[str], what: str, kills: Counter[str]) -> None:
    with capsys.disabled():
        print(f"\n{sum(kills.values())} {what}:")
        for where, count in sorted(kills.items()):
            print(f"  {count:4d}  {where}")
