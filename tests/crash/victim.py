"""Lives of tasks that may end by SIGKILL, and what must hold afterwards; judged without the provider's own code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_iinked.simulator import IinkedSimulator

ZYGOTE = Path(__file__).with_name("fork_server.py")
MOST_LIVES = 40


class Zygote:
    """The process that forks lives."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ZYGOTE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read_until("ready")

    def _read_until(self, word: str) -> None:
        for line in self._process.stdout or ():
            if line.strip() == word:
                return
        raise RuntimeError("the zygote did not start")

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        answer: dict[str, Any] = json.loads(line)
        return answer

    def live(self, order: dict[str, Any], *, kill_after: float | None = None) -> dict[str, Any]:
        """Run one task in a child; kill it after so many seconds, or let it be."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        pid = self._answer()["pid"]
        timer = None
        if kill_after is not None:
            # The zygote reaps a child only after its pipe has ended; a pid that is gone raises ProcessLookupError.
            timer = threading.Timer(kill_after, _kill, [pid])
            timer.start()
        ended = self._answer()
        if timer is not None:
            timer.cancel()
            timer.join()
        return ended

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)
        if self._process.stdout:
            self._process.stdout.close()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Place(Protocol):
    """Where copies lie, seen without the provider's code."""

    url: str
    environment: dict[str, str]

    def names(self, package_id: str) -> list[str]:
        """Names in a package's folder, sorted."""

    def read(self, package_id: str, name: str) -> bytes:
        """The bytes under a name."""

    def litter(self) -> list[str]:
        """What is open and unfinished, beyond what has a name."""


@dataclass
class LocalFolder:
    """The worker's own disk."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def names(self, package_id: str) -> list[str]:
        folder = self.folder / package_id
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def read(self, package_id: str, name: str) -> bytes:
        return (self.folder / package_id / name).read_bytes()

    def litter(self) -> list[str]:
        return []


@dataclass
class Chain:
    """One package's chain: download, then guarded delete, each task tried until it ends well."""

    sim: IinkedSimulator
    place: Place
    package_id: str
    stamped: bool
    map_index: int = -1
    xcoms: dict[str, Any] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)

    @property
    def task(self) -> str | None:
        return next((task for task in ("download", "delete") if task not in self.xcoms), None)

    @property
    def videos(self) -> int:
        return sum(len(package.videos) for package in _packages(self))

    def order(self, **how: Any) -> dict[str, Any]:
        task = self.task
        assert task
        self.tries[task] += 1
        download = {"package_id": self.package_id, "destination": self.place.url}
        stamp = {
            "dag_id": "archive",
            "run_id": f"run-{self.package_id}",
            "map_index": self.map_index,
            "try_number": self.tries[task],
        }
        return {
            "task": task,
            "arguments": download if task == "download" else {"verified_copies": self.xcoms["download"]},
            "stamp": stamp if self.stamped else None,
            "environment": {**self.sim.connection_env(max_retries=1, timeout=10), **self.place.environment},
            **how,
        }

    def take(self, ended: dict[str, Any]) -> None:
        assert ended.get("error") is None, ended
        if not ended["killed"]:
            self.xcoms[str(self.task)] = ended["xcom"]

    def clear(self) -> None:
        self.xcoms.clear()


def moment(chain: Chain) -> str:
    """Say how far a killed task had come, by what it left behind."""
    names = _names(chain)
    writing = any(name.endswith(".part") for name in names)
    records = {name.split(".")[0] for name in names if name.endswith(".custody.json")}
    if chain.task == "download":
        copies = {name.split(".")[0] for name in names if name.endswith((".mp4", ".webm"))}
        if copies - records:
            return "download: a copy published, its record not written"
        if len(records) == chain.videos:
            return "download: all records written, the task not ended"
        if writing:
            return "download: temporary files on disk"
        return f"download: {'some recordings' if records else 'nothing'} done"
    receipts = [_json(chain, name) for name in names if name.endswith(".deletion.json")]
    requested = {receipt["meeting_video_id"] for receipt in receipts if receipt["status"] == "requested"}
    gone = set(chain.sim.ledger.deletions)
    if requested - gone:
        return "delete: receipt of a request written, the recording not gone"
    if requested & gone:
        return "delete: the recording gone, its receipt not completed"
    if len(receipts) == chain.videos:
        return "delete: all receipts completed, the task not ended"
    if writing:
        return "delete: writing a receipt"
    return f"delete: {'some recordings' if receipts else 'nothing'} done"


def _packages(chain: Chain) -> list[Any]:
    return [package for package in chain.sim.packages() if package.package_id == chain.package_id]


def _names(chain: Chain) -> list[str]:
    return chain.place.names(chain.package_id)


def _json(chain: Chain, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(chain.place.read(chain.package_id, name))
    return value


def _sha256_of_copy(chain: Chain, uri: str) -> str:
    return hashlib.sha256(chain.place.read(chain.package_id, uri.rpartition("/")[2])).hexdigest()


def assert_nothing_lost(chain: Chain) -> None:
    """What must hold at every moment, whatever was killed."""
    sim = chain.sim
    for name in _names(chain):
        video_id, _, suffix = name.partition(".")
        if suffix in ("mp4", "webm"):
            assert _sha256_of_copy(chain, name) == sim.sha256(video_id), f"{name} is a partial copy under a final name"
        elif suffix == "custody.json":
            record = _json(chain, name)
            assert _sha256_of_copy(chain, record["uri"]) == record["sha256"] == sim.sha256(video_id)
        else:
            expected = suffix == "deletion.json" or name.endswith(".part") or name.startswith("_hold-")
            assert expected, f"unexpected {name}"
    for deletion in sim.ledger.deletion_records:
        if deletion.package_id == chain.package_id:
            assert deletion.by_id, "deleted without being named"
            record = _json(chain, f"{deletion.video_id}.custody.json")
            assert _sha256_of_copy(chain, record["uri"]) == sim.sha256(deletion.video_id)
            receipt = _json(chain, f"{deletion.video_id}.deletion.json")
            assert receipt["status"] in ("requested", "deleted")
            assert receipt["proof"]["sha256"] == sim.sha256(deletion.video_id)
    for request in sim.ledger.delete_requests:
        assert request.body["packageId"]
        assert request.body["meetingVideoId"]


def assert_finished(chain: Chain) -> None:
    """What must hold when the last try has ended well."""
    assert_nothing_lost(chain)
    videos = sorted(video for package in _packages(chain) for video in package.videos)
    names = _names(chain)
    assert not [name for name in names if name.endswith(".part")], "temporary files stayed behind"
    assert not chain.place.litter(), "unfinished uploads stayed behind"
    assert sorted(copy["meeting_video_id"] for copy in chain.xcoms["download"]) == videos
    assert sorted(d.video_id for d in chain.sim.ledger.deletion_records if d.package_id == chain.package_id) == videos
    for copy in chain.xcoms["download"]:
        record = _json(chain, f"{copy['meeting_video_id']}.custody.json")
        assert {name: record[name] for name in ("uri", "size", "sha256")} == {
            name: copy[name] for name in ("uri", "size", "sha256")
        }
    for video in videos:
        assert _json(chain, f"{video}.deletion.json")["status"] == "deleted"
    answer = chain.xcoms["delete"]
    told = [video["meetingVideoId"] for video in answer["videos"]] + answer.get("notListed", [])
    assert sorted(told) == videos


def fill(sim: IinkedSimulator, rng: random.Random, sizes: Sequence[int] = (6_000, 60_000, 300_000)) -> str:
    """Make a package, and let the service be slow in its own way, so that kills fall everywhere."""
    sim.quirks.latency = rng.choice([0.0, 0.002, 0.01])
    sim.quirks.recording_rate = rng.choice([None, 10.0 * max(sizes), 30.0 * max(sizes)])
    sim.quirks.list_deleted = rng.random() < 0.7
    count = rng.randint(1, 4 if len(sizes) > 2 else 2)
    return sim.add_package(
        videos=[{"size": rng.choice(sizes), "container": rng.choice(["mp4", "webm"])} for _ in range(count)]
    )


def wait_until_quiet(sim: IinkedSimulator) -> None:
    """A request that a killed process had sent is still carried out."""
    with contextlib.suppress(OSError):
        # The simulator serves in order: once it has answered this, it has carried out what had come before.
        urllib.request.urlopen(f"{sim.api_base}/after-a-kill", timeout=60)
    time.sleep(sim.quirks.latency + 0.003)


def live_on(zygote: Zygote, chain: Chain, rng: random.Random, aims: tuple[float, float], kills: Counter[str]) -> int:
    """
    Run a chain to its end, killing its tasks on the way; tell how often it was cleared.

    :param aims: kills fall at random between these: acts when they are whole numbers, else seconds.
    :param kills: counts the kills by the moment they hit.
    """
    clears = 0
    for life in range(MOST_LIVES):
        if chain.task is None:
            break
        # Later lives are killed less often, so that each chain comes to its end.
        kill = rng.random() < 0.9 - life * 0.08
        by_act = isinstance(aims[0], int)
        act = rng.randint(int(aims[0]), int(aims[1])) if kill and by_act else 0
        after = rng.uniform(*aims) if kill and not by_act else None
        ended = zygote.live(chain.order(kill_at_act=act), kill_after=after)
        if ended["killed"]:
            wait_until_quiet(chain.sim)
            kills[moment(chain)] += 1
        chain.take(ended)
        assert_nothing_lost(chain)
        if ended["killed"] and rng.random() < 0.15:
            chain.clear()
            clears += 1
    assert_finished(chain)
    return clears
