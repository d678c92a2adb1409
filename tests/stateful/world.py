"""Two data centres, three destinations, and a watch on every deletion request at the moment it arrives."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.stateful.vault import SCHEME, VaultStore, shown_lock

TALLY: Counter[str] = Counter()
"""What all machines of this session did, for docs/safety.md."""

SHOWN = ("size", "timeCreated", "duration", "meetingId")
Action = Callable[[], None]


@dataclass(eq=False)
class Run:
    """
    One delete task on its way.

    :param claims: the copies in its XCom, by id; None for one without copies.
    :param min_copies: in how many places copies must be whole.
    :param saw: what the person saw who approved it, by id; None where nobody was asked, empty for no yes to this plan.
    :param has_receipts: False for one that writes no receipts, and so sees no hold.
    :param story: what led to it, for the message of a failure.
    """

    centre: Centre
    package_id: str
    ids: set[str] | None
    claims: dict[Any, list[dict[str, Any]]] | None = None
    min_copies: int = 1
    saw: dict[str, Any] | None = None
    has_receipts: bool = True
    story: str = ""

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
        self.shown_gone: set[tuple[str, str]] = set()
        self._answer = self.sim._views.videos_answer
        self.sim._views.videos_answer = self._note_answer  # type: ignore[method-assign]

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

    def _note_answer(self, package: Any) -> dict[str, Any]:
        """Note which recordings a list has shown as gone: no receipt may claim a deletion before that."""
        answer = self._answer(package)
        live = {video["meetingVideoId"] for video in answer.get("videos") or [] if video.get("state") != "deleted"}
        self.shown_gone |= {(package.package_id, video_id) for video_id in package.videos if video_id not in live}
        return answer

    def close(self) -> None:
        self.sim.close()


@dataclass
class World:
    """What all runs share, and what must hold."""

    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="stateful-")))
    centres: list[Centre] = field(default_factory=list)
    active: list[Run] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    spoilt: dict[Path, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    touched: bool = False
    moved: set[str] = field(default_factory=set)
    holds: dict[tuple[str, str], dict[str, set[str]]] = field(default_factory=dict)
    """By place and package: the holds in force, each with what had been requested before it was placed."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.centres = [Centre("east", self), Centre("west", self)]
        self.folders = {name: self.root / name for name in ("disk", "one", "two", "receipts")}
        for folder in self.folders.values():
            folder.mkdir()

    @property
    def folder(self) -> Path:
        return self.folders["disk"]

    @property
    def receipts(self) -> Path:
        return self.folders["receipts"]

    @property
    def destination(self) -> str:
        return self.url("disk")

    def url(self, place: str) -> str:
        folder = self.folders[place]
        return f"{SCHEME}://{place}{folder}" if place in ("one", "two") else f"file://{folder}"

    def path_of(self, uri: object) -> Path | None:
        """The file behind a URI, where it is one of this world's."""
        scheme, _, rest = str(uri).partition("://")
        path = Path("/" + rest.partition("/")[2])
        return path if scheme in ("file", SCHEME) and self.root in path.parents else None

    def close(self) -> None:
        for centre in self.centres:
            TALLY["requests"] += len(centre.sim.ledger.requests())
            TALLY["faults hit"] += sum(1 for r in centre.sim.ledger.requests() if r.fault)
            TALLY["deletions"] += len(centre.sim.ledger.deletions)
            centre.close()
        for path in self.root.glob("*/*/*.deletion.json"):
            TALLY[f"receipts left {(read_json(path) or {}).get('status')}"] += 1
        shutil.rmtree(self.root, ignore_errors=True)
        VaultStore.locks.clear()

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
        problems = [self._problem(run, package_id, video_id) for run in runs]
        if all(problems):
            self.violations.append(f"{video_id} of {centre.name} was asked for although {problems}")

    def _problem(self, run: Run, package_id: str, video_id: str) -> str | None:
        """Why this run may not ask for the deletion of a recording at this moment."""
        places = {"receipts"} if run.has_receipts else set()
        if run.claims is not None:
            copies = self._copies(run.claims[video_id], package_id, video_id)
            places = {path.parents[1].name for path in copies}
            found = [self._copy_problem(run, path, package_id, video_id) for path in copies]
            if problem := next(filter(None, found), None):
                return problem
            if len(places) < run.min_copies:
                return f"it has copies in {places} alone"
        for place in places:
            for hold_id, under_way in self.holds.get((place, package_id), {}).items():
                if video_id not in under_way:
                    return f"the package is held at {place} ({hold_id})"
        if run.saw is None:
            return None
        TALLY["approved deletion requests"] += 1
        if video_id not in run.saw:
            return f"nobody approved it ({run.story})"
        now = self.seen(run.centre, package_id, video_id, run.claims)
        return "it is not what was approved" if video_id not in self.moved and run.saw[video_id] != now else None

    def _copies(self, claims: list[dict[str, Any]], package_id: str, video_id: str) -> list[Path]:
        """All copies that must be whole: those of the XCom, and those that their records promise."""
        paths = [self.path_of(claim.get("uri")) or Path("/nowhere/at/all") for claim in claims]
        for path in list(paths):
            record = read_json(path.parent / f"{video_id}.custody.json") or {}
            promised = [self.path_of(uri) or Path("/nowhere/at/all") for uri in record.get("copies") or []]
            # Where as many are known as a record promises, those that are not at their places may have been moved.
            moved = len(promised) < len(paths)
            there = [path for path in promised if not moved or (path.parent / f"{video_id}.custody.json").exists()]
            paths += [path for path in there if path not in paths]
        return paths

    def _copy_problem(self, run: Run, copy: Path, package_id: str, video_id: str) -> str | None:
        centre, folder, claims = run.centre, copy.parent, (run.claims or {})[video_id]
        record = read_json(folder / f"{video_id}.custody.json")
        if record is None:
            return f"a copy of it has no custody record ({copy})"
        if (record.get("api_base"), record.get("package_id"), record.get("meeting_video_id")) != (
            centre.sim.api_base,
            package_id,
            video_id,
        ):
            return "its custody record is another's"
        if (
            folder.name != package_id
            or copy.stem != video_id
            or self.path_of(record.get("uri")) != copy
            or not copy.is_file()
        ):
            return "its copy is not there"
        if sha256(copy) != record.get("sha256"):
            return "copy and record differ"
        if any(record["sha256"] != claim.get("sha256") for claim in claims):
            return "the XCom claims another copy"
        if record["sha256"] not in centre.served[video_id]:
            return "its copy is not what was served"
        if video_id not in self.moved and (changed := _changed(record, centre.shown(package_id, video_id))):
            return f"{changed} of it changed since it was copied"
        if problem := _lock_problem(record, copy, folder / f"{video_id}.custody.json"):
            return problem
        receipt = read_json(folder / f"{video_id}.deletion.json")
        if receipt is None or receipt.get("status") not in ("requested", "deleted", "unconfirmed"):
            return f"no receipt is written beside {copy}"
        return None

    def seen(self, centre: Centre, package_id: str, video_id: str, claims: Any) -> Any:
        """What a person sees of a recording: the listing, each copy with its bytes, and the lock that it promises."""
        shown = centre.shown(package_id, video_id)
        copies = self._copies(claims[video_id], package_id, video_id) if claims is not None else []
        return None if shown is None else tuple(shown.get(name) for name in SHOWN), {
            (str(path), sha256(path) if path.is_file() else None, _promise_kept(path, video_id)) for path in copies
        }

    # --- after each step

    def final_names(self) -> list[Path]:
        return [path for path in self.root.glob("*/*/*") if path.suffix in (".mp4", ".webm")]

    def check(self) -> None:
        assert not self.violations, self.violations
        there = {sha256(path) for path in self.root.glob("*/*/*") if path.is_file()}
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
        for path in self.root.glob("*/*/*.deletion.json"):
            self._check_receipt(read_json(path) or {})

    def _check_receipt(self, receipt: dict[str, Any]) -> None:
        centre = next((c for c in self.centres if c.sim.api_base == receipt.get("api_base")), None)
        package_id, video_id = str(receipt.get("package_id")), str(receipt.get("meeting_video_id"))
        if centre is not None and receipt.get("status") == "deleted" and video_id in centre.videos(package_id):
            assert (package_id, video_id) in centre.shown_gone, (
                f"a receipt says deleted, and no list showed it: {receipt}"
            )

    def forget(self, erased: list[bytes]) -> None:
        """Bytes that were erased on purpose need not be there any more."""
        self.kept -= {hashlib.sha256(data).hexdigest() for data in erased}

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


def _lock_problem(record: dict[str, Any], *paths: Path) -> str | None:
    """Compare the lock that a record promises with what the store shows."""
    if record.get("retain_until") is None:
        return None
    promised = (record.get("retention_mode"), datetime.fromisoformat(record["retain_until"]))
    for path in paths:
        shown = shown_lock(path)
        if shown is None or shown[1] < promised[1] or (shown[0] != promised[0] and shown[0] != "COMPLIANCE"):
            return f"{path.name} is not locked as its record promises"
    return None


def _promise_kept(copy: Path, video_id: str) -> tuple[Any, ...]:
    """The lock that a record promises, and what it lacks; a lock that no record promises is shown to nobody."""
    path = copy.parent / f"{video_id}.custody.json"
    record = read_json(path) or {}
    return record.get("retain_until"), record.get("retention_mode"), _lock_problem(record, copy, path)


def _changed(record: dict[str, Any], shown: dict[str, Any] | None) -> str | None:
    listed = record["video"] if isinstance(record.get("video"), dict) else {}
    return next((name for name in SHOWN if shown and listed.get(name) != shown.get(name)), None)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
