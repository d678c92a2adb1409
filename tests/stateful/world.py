"""Two data centres, one destination, and a watch on every deletion request at the moment it arrives."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_iinked.simulator import IinkedSimulator

TALLY: Counter[str] = Counter()
"""What all machines of this session did, for docs/safety.md."""

Action = Callable[[], None]


@dataclass(eq=False)
class Run:
    """One delete task on its way; ``claims`` are the digests in its XCom by id, None for one without copies."""

    centre: Centre
    package_id: str
    ids: set[str] | None
    claims: dict[Any, Any] | None = None

    def means(self, package_id: object, video_id: object) -> bool:
        return package_id == self.package_id and isinstance(video_id, str) and video_id in (self.ids or ())


class Centre:
    """One data centre: a simulator, what it served so far, and what happens at its next requests."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.sim = IinkedSimulator()
        self.sim.start()
        self.served: dict[str, set[str]] = {}
        self.removed: Counter[str] = Counter()
        self.meanwhile: dict[int, Action] = {}
        self._begin = self.sim.ledger.begin
        self._count = 0
        self.sim.ledger.begin = self._watch  # type: ignore[method-assign]

    @property
    def conn_id(self) -> str:
        return f"iinked_{self.name}"

    def packages(self) -> list[str]:
        return [package.package_id for package in self.sim.packages()]

    def videos(self, package_id: str) -> dict[str, Any]:
        found = [package for package in self.sim.packages() if package.package_id == package_id]
        return dict(found[0].videos) if found else {}

    def shown(self, package_id: str, video_id: str) -> dict[str, Any] | None:
        """What a list shows of a recording now."""
        video = self.videos(package_id).get(video_id)
        return self.sim._views.video(video, state="archived") if video is not None else None

    def note_content(self, video_id: str) -> None:
        self.served.setdefault(video_id, set()).add(self.sim.sha256(video_id))

    def plan(self, actions: dict[int, Action]) -> None:
        """Let something happen while the n-th request from now is being answered."""
        self.meanwhile = {self._count + number: action for number, action in actions.items()}

    def _watch(self, **values: Any) -> Any:
        record = self._begin(**values)
        try:
            if values["host"] == "api":
                self._count += 1
                action = self.meanwhile.pop(self._count, None)
                # A copy that is spoilt after its proof, in the very moment of the request, is past anybody's power.
                if action is not None and record.call != "delete":
                    TALLY["meanwhile"] += 1
                    action()
                if record.call == "list":
                    self.world.first_list(self, record.package_id)
                if record.call == "delete":
                    self.world.check_request(self, record.body)
        except Exception as error:
            self.world.violations.append(f"the watch itself failed: {error!r}")
        return record

    def close(self) -> None:
        self.sim.close()


@dataclass
class World:
    """What all runs share, and what must hold."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="stateful-")))
    centres: list[Centre] = field(default_factory=list)
    active: list[Run] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    spoilt: dict[Path, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    touched: bool = False
    moved: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.centres = [Centre("east", self), Centre("west", self)]

    @property
    def receipts(self) -> Path:
        return self.folder.with_name(self.folder.name + "-receipts")

    @property
    def destination(self) -> str:
        return f"file://{self.folder}"

    def close(self) -> None:
        for centre in self.centres:
            TALLY["requests"] += len(centre.sim.ledger.requests())
            TALLY["faults hit"] += sum(1 for r in centre.sim.ledger.requests() if r.fault)
            TALLY["deletions"] += len(centre.sim.ledger.deletions)
            centre.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.receipts, ignore_errors=True)

    # --- at the moment of a request

    def first_list(self, centre: Centre, package_id: str | None) -> None:
        """``delete_all`` means what its first list shows."""
        for run in self.active:
            if run.centre is centre and run.package_id == package_id and run.ids is None:
                run.ids = set(centre.videos(package_id))

    def check_request(self, centre: Centre, body: Any) -> None:
        TALLY["deletion requests"] += 1
        package_id, video_id = (body or {}).get("packageId"), (body or {}).get("meetingVideoId")
        runs = [run for run in self.active if run.centre is centre and run.means(package_id, video_id)]
        if not runs:
            self.violations.append(f"{video_id!r} of {package_id!r} was asked for, and nobody meant it")
            return
        video = centre.videos(package_id).get(video_id)
        if video is not None and video.state not in ("archived", "deleted") and video_id not in self.moved:
            self.violations.append(f"{video_id} was asked for in state {video.state}")
        if all(run.claims is not None for run in runs):
            TALLY["guarded deletion requests"] += 1
            claimed = {run.claims[video_id] for run in runs if run.claims}
            problem = self._proof_problem(centre, package_id, video_id, claimed)
            if problem:
                self.violations.append(f"{video_id} of {centre.name} was asked for although {problem}")

    def _proof_problem(self, centre: Centre, package_id: str, video_id: str, claimed: set[Any]) -> str | None:
        folder = self.folder / package_id
        record = read_json(folder / f"{video_id}.custody.json")
        if record is None:
            return "it has no custody record"
        if (record.get("api_base"), record.get("package_id"), record.get("meeting_video_id")) != (
            centre.sim.api_base,
            package_id,
            video_id,
        ):
            return "its custody record is another's"
        copy = Path(str(record.get("uri")).removeprefix("file://"))
        if copy.parent != folder or copy.stem != video_id or not copy.is_file():
            return "its copy is not there"
        if sha256(copy) != record.get("sha256"):
            return "copy and record differ"
        if record["sha256"] not in claimed:
            return "the XCom claims another copy"
        if record["sha256"] not in centre.served[video_id]:
            return "its copy is not what was served"
        if video_id not in self.moved and (changed := _changed(record, centre.shown(package_id, video_id))):
            return f"{changed} of it changed since it was copied"
        receipt = read_json(folder / f"{video_id}.deletion.json")
        if receipt is None or receipt.get("status") not in ("requested", "deleted"):
            return "no receipt is written"
        return None

    # --- after each step

    def final_names(self) -> list[Path]:
        return [path for path in self.folder.glob("*/*") if path.suffix in (".mp4", ".webm")]

    def check(self) -> None:
        assert not self.violations, self.violations
        there = {sha256(path) for path in self.folder.glob("*/*") if path.is_file()}
        assert self.kept <= there, "bytes that lay under a final name were overwritten or removed"
        self.kept.update(sha256(path) for path in self.final_names())
        for path in self.final_names():
            served = set().union(*(centre.served.get(path.stem, set()) for centre in self.centres))
            assert sha256(path) in served or self.is_spoilt(path), f"{path.name} is partial under a final name"
        for centre in self.centres:
            asked = {r.number: r.body.get("meetingVideoId") for r in centre.sim.ledger.delete_requests if r.body}
            for deletion in centre.sim.ledger.deletion_records:
                # What a hostile service does beside its work is not by id, or marked by another id.
                assert not deletion.by_id or asked[deletion.request], "deleted without being named"

    def is_spoilt(self, path: Path) -> bool:
        return path.exists() and sha256(path) == self.spoilt.get(path)

    def spoil(self, path: Path, data: bytes | None) -> None:
        """Somebody edits a file at the destination."""
        self.touched = True
        if path.exists():
            self.kept.discard(sha256(path))
        if data is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.spoilt[path] = hashlib.sha256(data).hexdigest()


def _changed(record: dict[str, Any], shown: dict[str, Any] | None) -> str | None:
    names = ("size", "timeCreated", "duration", "meetingId")
    return next((name for name in names if shown and record["video"].get(name) != shown.get(name)), None)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
