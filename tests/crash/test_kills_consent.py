"""SIGKILL in a chain with two locked copies and a person's approval; a hold ends what is left of one."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.custody.hold import place_hold
from airflow_provider_iinked.simulator import IinkedSimulator
from tests.crash.victim import Chain, LocalFolder, Zygote, assert_nothing_lost, fill, moment, wait_until_quiet
from tests.stateful.vault import LOCKS_FOLDER, SCHEME, FileLocks, open_vaults

KILLS = int(os.environ.get("KILLS", "25"))
SEED = int(os.environ.get("KILLS_SEED", "7"))
MAX_LIVES = 60


@dataclass
class Vault(LocalFolder):
    """A folder in a store that locks objects."""

    @property
    def url(self) -> str:
        return f"{SCHEME}://{self.folder.name}{self.folder}"


@dataclass
class ConsentChain(Chain):
    """Download to two stores with locks, preview, a person's yes, and the deletion of what was approved."""

    second: Vault = field(default_factory=lambda: Vault(Path("/nowhere")))

    @property
    def task(self) -> str | None:
        return next((task for task in ("download", "preview", "delete") if task not in self.xcoms), None)

    @property
    def views(self) -> list[Chain]:
        """The chain as it is seen at each of its places."""
        return [self, replace(self, place=self.second)]

    def order(self, **how: Any) -> dict[str, Any]:
        made = super().order(**how)
        arguments: dict[str, Any] = {
            "package_id": self.package_id,
            "destination": [self.place.url, self.second.url],
            "retain_for": "P10Y",
        }
        if self.task != "download":
            arguments = {"verified_copies": self.xcoms["download"], "min_copies": 2, "package_id": self.package_id}
            arguments |= {"preview": True} if self.task == "preview" else {"approval": self.answer()}
        return {**made, "arguments": arguments}

    def answer(self) -> dict[str, Any]:
        """A person's yes to what the preview shows; nobody is asked about nothing."""
        plan = self.xcoms["preview"]
        nothing = not plan["plan"]
        return {
            "approved": not nothing,
            "plan_sha256": plan["plan_sha256"],
            "responded_by": None if nothing else "ada",
            "responded_at": "2026-11-28T00:00:00+00:00",
        }


def assert_two_copies(chain: ConsentChain) -> None:
    """What must hold at every moment: what is deleted has both copies, locked, and a receipt with the approval."""
    locks = FileLocks(Path(chain.place.environment[LOCKS_FOLDER]))
    for view in chain.views:
        assert_nothing_lost(view)
        assert isinstance(view.place, LocalFolder)
        folder = view.place.folder / chain.package_id
        for deletion in chain.sim.ledger.deletion_records:
            if deletion.package_id != chain.package_id:
                continue
            [copy] = [path for path in folder.glob(f"{deletion.video_id}.*") if path.suffix in (".mp4", ".webm")]
            assert copy in locks
            assert folder / f"{deletion.video_id}.custody.json" in locks
            receipt = view.place.read(chain.package_id, f"{deletion.video_id}.deletion.json").decode()
            assert '"responded_by": "ada"' in receipt


@pytest.fixture
def places(tmp_path: Path) -> tuple[Vault, Vault]:
    (tmp_path / "locks").mkdir()
    environment = {LOCKS_FOLDER: str(tmp_path / "locks")}
    return Vault(tmp_path / "one", environment), Vault(tmp_path / "two", environment)


@pytest.mark.parametrize("aim", ["after-a-random-time", "at-a-random-act"])
def test_nothing_is_lost_and_the_retry_deletes_what_was_approved(
    zygote: Zygote,
    sim: IinkedSimulator,
    places: tuple[Vault, Vault],
    capsys: pytest.CaptureFixture[str],
    aim: str,
) -> None:
    rng = random.Random(f"{SEED} consent {aim}")
    kills: Counter[str] = Counter()
    chains = held = 0
    while sum(kills.values()) < -(-KILLS // 2):
        chain = ConsentChain(sim, places[0], fill(sim, rng), stamped=True, second=places[1])
        aims = (30, 150 + 90 * chain.videos) if aim == "at-a-random-act" else (0.05, 0.15 + 0.05 * chain.videos)
        _live_on(zygote, chain, rng, aims, kills)
        if chain.task is not None:
            _end_by_hold(zygote, chain)
            held += 1
        chains += 1
    with capsys.disabled():
        print(f"\n{sum(kills.values())} kills {aim} with two locked copies and approval, {chains} chains, {held} held:")
        for where, count in sorted(kills.items()):
            print(f"  {count:4d}  {where}")


def _live_on(
    zygote: Zygote, chain: ConsentChain, rng: random.Random, aims: tuple[float, float], kills: Counter[str]
) -> None:
    """Run a chain to its end, or until a hold is to come, killing its tasks on the way."""
    for life in range(MAX_LIVES):
        if chain.task is None:
            videos = sorted(video for package in sim_packages(chain) for video in package.videos)
            deleted = [d.video_id for d in chain.sim.ledger.deletion_records if d.package_id == chain.package_id]
            assert sorted(deleted) == videos
            assert not [name for view in chain.views for name in view.place.names(chain.package_id) if ".part" in name]
            return
        kill = rng.random() < 0.9 - life * 0.05
        act = rng.randint(int(aims[0]), int(aims[1])) if kill and isinstance(aims[0], int) else 0
        after = rng.uniform(*aims) if kill and not act else None
        ended = zygote.live(chain.order(kill_at_act=act), kill_after=after)
        if ended["killed"]:
            wait_until_quiet(chain.sim)
            kills["preview" if chain.task == "preview" else moment(chain)] += 1
            if chain.task == "delete" and rng.random() < 0.35:
                return
        chain.take(ended)
        assert_two_copies(chain)
    raise AssertionError(f"not finished after {MAX_LIVES} lives")


def _end_by_hold(zygote: Zygote, chain: ConsentChain) -> None:
    """A hold comes after a kill: the retry deletes nothing more."""
    open_vaults()
    place_hold(chain.second.url, chain.package_id, reason="a matter", settle_for=0)
    before = len(chain.sim.ledger.delete_requests)
    ended = zygote.live(chain.order())
    left = [video for package in sim_packages(chain) for video in package.videos.values() if not video.deleted]
    assert bool(left) is ("legal hold" in ended.get("message", "")), ended
    assert len(chain.sim.ledger.delete_requests) == before
    assert_two_copies(chain)


def sim_packages(chain: Chain) -> list[Any]:
    return [package for package in chain.sim.packages() if package.package_id == chain.package_id]
