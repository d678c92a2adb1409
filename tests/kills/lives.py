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
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_iinked.simulator import IinkedSimulator

ZYGOTE = Path(__file__).with_name("zygote.py")
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
        self._process.wait(10)
        if self._process.stdout:
            self._process.stdout.close()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass
class Chain:
    """One package's chain: download, then guarded delete, each task tried until it ends well."""

    sim: IinkedSimulator
    folder: Path
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
        download = {"package_id": self.package_id, "destination": f"file://{self.folder}"}
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
            "environment": self.sim.connection_env(max_retries=1, timeout=5),
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
    folder = chain.folder / chain.package_id
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def _json(chain: Chain, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((chain.folder / chain.package_id / name).read_text())
    return value


def assert_nothing_lost(chain: Chain) -> None:
    """What must hold at every moment, whatever was killed."""
    sim, folder = chain.sim, chain.folder / chain.package_id
    for name in _names(chain):
        video_id, _, suffix = name.partition(".")
        if suffix in ("mp4", "webm"):
            assert _sha256(folder / name) == sim.sha256(video_id), f"{name} is a partial copy under a final name"
        elif suffix == "custody.json":
            record = _json(chain, name)
            assert _sha256(Path(record["uri"].removeprefix("file://"))) == record["sha256"] == sim.sha256(video_id)
        else:
            assert suffix == "deletion.json" or name.endswith(".part"), f"unexpected {name}"
    for deletion in sim.ledger.deletion_records:
        if deletion.package_id == chain.package_id:
            assert deletion.by_id, "deleted without being named"
            record = _json(chain, f"{deletion.video_id}.custody.json")
            assert _sha256(Path(record["uri"].removeprefix("file://"))) == sim.sha256(deletion.video_id)
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


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fill(sim: IinkedSimulator, rng: random.Random) -> str:
    """Make a package, and let the service be slow in its own way, so that kills fall everywhere."""
    sim.quirks.latency = rng.choice([0.0, 0.002, 0.01])
    sim.quirks.recording_rate = rng.choice([None, 2e6, 8e6])
    sim.quirks.list_deleted = rng.random() < 0.7
    sizes = [rng.choice([6_000, 60_000, 300_000]) for _ in range(rng.randint(1, 4))]
    return sim.add_package(videos=[{"size": size, "container": rng.choice(["mp4", "webm"])} for size in sizes])


def wait_until_quiet(sim: IinkedSimulator) -> None:
    """A request that a killed process had sent is still carried out."""
    time.sleep(sim.quirks.latency + 0.003)
