"""The state machine: whatever happens to recordings, files and requests, the promises hold after every step."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from tests.stateful import mishaps
from tests.stateful.world import TALLY, Centre, Run, World, read_json

PACKAGES = ("p1", "p2")
MASKERS = ("airflow.sdk._shared.secrets_masker.secrets_masker", "airflow.utils.log.secrets_masker")
STATES = ("started", "queued", "failed", "archived", "archived", "deleted", "quarantined")
centres = st.integers(0, 1)
packages = st.sampled_from(PACKAGES)
slots = st.integers(0, 3)
spoils = st.sampled_from(["gone", "cut", "longer", "changed"])
changes = st.sampled_from([*STATES, "appear", "vanish", "content", "size", "duration", "timeCreated", "meetingId"])
# Everything is drawn before a rule begins and from ranges that never change: what threads make of it must not decide
# what is drawn next.
picks = st.integers(0, 7)
turmoil = st.tuples(
    st.lists(st.one_of(mishaps.api_faults, mishaps.recording_faults), max_size=3),
    st.lists(st.tuples(st.integers(1, 4), slots, st.one_of(changes, spoils)), max_size=2),
)
"""Faults that wait for a task's requests, and what happens while so many of them are being answered."""
Turmoil = tuple[list[Any], list[tuple[int, int, str]]]


class ChainMachine(RuleBasedStateMachine):
    """Dags archive the packages of two data centres into one destination, while much goes wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.xcoms: list[tuple[int, str, list[dict[str, Any]]]] = []
        for centre in self.world.centres:
            self._connect(centre)
        TALLY["examples"] += 1

    def teardown(self) -> None:
        self.world.close()
        for name in MASKERS:
            # Airflow compiles all secrets of a process anew for each one more; a real task meets those of one package.
            if module := sys.modules.get(name):
                masker = module._secrets_masker()
                masker.patterns, masker.replacer = set(), None

    def _connect(self, centre: Centre) -> None:
        os.environ.update(centre.sim.connection_env(centre.conn_id, max_retries=2, timeout=2))

    # --- recordings appear, change and vanish

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        for number in (0, 1):
            for package in PACKAGES:
                self.world.centres[number].sim.add_package(package)
                for _ in range(data.draw(st.integers(0, 2))):
                    self._add(number, package, "archived", 60_000)

    def _add(self, number: int, package: str, state: str, size: int) -> None:
        # Both data centres give the same ids, so that a mix-up of the two would not go unnoticed.
        centre = self.world.centres[number]
        count = len(centre.videos(package)) + centre.removed[package]
        container = "webm" if (number + count) % 2 else "mp4"
        video_id = centre.sim.add_video(
            package, f"{package}-v{count}", state=state, size=size + number, container=container
        )
        centre.note_content(video_id)

    def _video_id(self, package: str, slot: int, number: int | None = None) -> str:
        """The id behind a slot: 0 is the newest recording of a data centre (None: of any); or one that never was."""
        centres = self.world.centres if number is None else [self.world.centres[number]]
        ids = sorted({video for centre in centres for video in centre.videos(package)}, key=lambda v: (len(v), v))
        return ids[-1 - slot] if slot < len(ids) else f"{package}-never"

    def _change(self, number: int, package: str, slot: int, how: str) -> None:
        centre, video_id = self.world.centres[number], self._video_id(package, slot, number)
        if how == "appear":
            self._add(number, package, "archived", 30_000)
        if video_id not in centre.videos(package):
            return
        self.world.moved.add(video_id)
        if how == "vanish":
            centre.sim.remove_video(package, video_id)
            centre.removed[package] += 1
        elif how == "content":
            centre.sim.change_content(video_id)
            centre.note_content(video_id)
        elif how in STATES:
            centre.sim.set_state(package, video_id, how)
        elif how != "appear":
            centre.sim.set_fields(package, video_id, **{how: {"size": 5, "duration": "PT9S"}.get(how, "x")})

    @rule(number=centres, package=packages, state=st.sampled_from(STATES), size=st.integers(5_000, 90_000))
    def add_recording(self, number: int, package: str, state: str, size: int) -> None:
        self._add(number, package, state, size)

    @rule(number=centres, package=packages, slot=slots, how=changes)
    def change_recording(self, number: int, package: str, slot: int, how: str) -> None:
        self._change(number, package, slot, how)

    # --- the service misbehaves

    def plan_fault(self, number: int, fault: Any) -> None:
        self.world.centres[number].sim.faults.add(fault)
        TALLY["faults planned"] += 1

    @rule(number=centres, quirk=mishaps.quirks)
    def set_quirk(self, number: int, quirk: tuple[str, Any]) -> None:
        setattr(self.world.centres[number].sim.quirks, *quirk)
        TALLY["quirks set"] += 1

    @rule(number=centres)
    def recover(self, number: int) -> None:
        self.world.centres[number].sim.faults.clear()
        self.world.centres[number].sim.quirks.reset()

    @rule(number=centres, tell=st.booleans())
    def rotate_key(self, number: int, tell: bool) -> None:
        self.world.centres[number].sim.rotate_api_key()
        if tell:
            self._connect(self.world.centres[number])

    # --- somebody edits files and XComs

    @rule(pick=picks, how=spoils)
    def spoil_copy(self, pick: int, how: str) -> None:
        if paths := sorted(self.world.final_names()):
            path = paths[pick % len(paths)]
            self.world.spoil(path, mishaps.spoil_bytes(path.read_bytes(), how))

    @rule(package=packages, slot=slots, suffix=st.sampled_from([".mp4", ".webm"]))
    def leave_partial_copy(self, package: str, slot: int, suffix: str) -> None:
        """What some other tool, or an older one, may have left under a final name."""
        path = self.world.folder / package / f"{self._video_id(package, slot)}{suffix}"
        if not path.exists():
            self.world.spoil(path, b"\0\0\0\x18ftypisom")

    @rule(pick=picks, other=picks, how=st.one_of(mishaps.edits, spoils))
    def edit_record(self, pick: int, other: int, how: Any) -> None:
        records = sorted(self.world.folder.glob("*/*.custody.json"))
        if not records:
            return
        path = records[pick % len(records)]
        if isinstance(how, str):
            self.world.spoil(path, mishaps.spoil_bytes(path.read_bytes(), how))
        else:
            edited = mishaps.edit(read_json(path) or {}, how, read_json(records[other % len(records)]) or {})
            self.world.spoil(path, mishaps.as_bytes(edited))

    @rule(pick=picks, other=picks, how=mishaps.edits)
    def edit_xcom(self, pick: int, other: int, how: tuple[str, str]) -> None:
        found, source = self._xcom(pick), self._xcom(other)
        if found and source and found[2] and source[2]:
            number, package, xcom = found
            self.xcoms.append((number, package, [mishaps.edit(xcom[0], how, source[2][-1]), *xcom[1:]]))

    def _xcom(self, pick: int) -> tuple[int, str, list[dict[str, Any]]] | None:
        """One of the latest XComs."""
        return self.xcoms[-1 - pick % min(4, len(self.xcoms))] if self.xcoms else None

    # --- tasks run

    def _meanwhile(self, number: int, package: str, turmoil: Turmoil) -> None:
        """Let requests fail, recordings change, and copies get spoilt while a task's requests are being answered."""
        faults, happenings = turmoil
        for fault in faults:
            self.plan_fault(number, fault)
        actions: dict[int, Callable[[], None]] = {}
        for request, slot, how in happenings:
            actions[request] = lambda slot=slot, how=how: self._happen(number, package, slot, how)
        self.world.centres[number].plan(actions)

    def _happen(self, number: int, package: str, slot: int, how: str) -> None:
        if how in ("gone", "cut", "longer", "changed"):
            for path in self.world.folder.glob(f"{package}/{self._video_id(package, slot)}.[mw]*"):
                self.world.spoil(path, mishaps.spoil_bytes(path.read_bytes(), how))
        else:
            self._change(number, package, slot, how)

    def _execute(self, operator: Any) -> Any:
        """Run a task; None when it failed with an error of ours. Any other error breaks the machine."""
        TALLY["tasks"] += 1
        try:
            return operator.execute({})
        except IinkedSignError:
            TALLY["tasks failed"] += 1
            return None

    def _begin_task(self) -> None:
        self.world.touched = False
        self.world.moved.clear()

    def _download(self, number: int, package: str, ids: Any, allow_partial: bool) -> Any:
        return IinkedDownloadVideosOperator(
            task_id="download",
            package_id=package,
            destination=self.world.destination,
            meeting_video_ids=ids,
            allow_partial=allow_partial,
            iinked_sign_conn_id=self.world.centres[number].conn_id,
        )

    ids = st.one_of(st.just("*"), st.lists(slots, max_size=3))

    def _ids(self, package: str, chosen: Any) -> Any:
        return chosen if chosen == "*" else [self._video_id(package, slot) for slot in chosen]

    @rule(number=centres, package=packages, chosen=ids, allow_partial=st.booleans(), meanwhile=turmoil)
    def download(self, number: int, package: str, chosen: Any, allow_partial: bool, meanwhile: Turmoil) -> None:
        self._begin_task()
        self._meanwhile(number, package, meanwhile)
        self._keep(
            number, package, self._execute(self._download(number, package, self._ids(package, chosen), allow_partial))
        )

    @rule(numbers=st.tuples(centres, centres), package=packages)
    def two_downloads_at_once(self, numbers: tuple[int, int], package: str) -> None:
        """Two runs of one Dag, or the Dags of two data centres, for one package."""
        self._begin_task()
        results = self._at_once([self._download(number, package, "*", True) for number in numbers])
        for number, xcom in zip(numbers, results, strict=True):
            self._keep(number, package, xcom)

    def _keep(self, number: int, package: str, xcom: Any) -> None:
        """Take a download's XCom; it agrees with records and copies unless somebody edited them meanwhile."""
        if xcom is None:
            return
        TALLY["downloads done"] += 1
        self.xcoms.append((number, package, xcom))
        for copy in xcom:
            assert copy["package_id"] == package
            path = self.world.folder / package / f"{copy['meeting_video_id']}.custody.json"
            record = read_json(path) or {}
            # A download keeps, unread, what agrees in size and time; an edited record is for the deletion to find.
            if not self.world.touched and not self.world.is_spoilt(path):
                assert record["api_base"] == self.world.centres[number].sim.api_base
                assert {name: record[name] for name in ("uri", "size", "sha256")} == {
                    name: copy[name] for name in ("uri", "size", "sha256")
                }
                assert copy["sha256"] in self.world.centres[number].served[copy["meeting_video_id"]]

    def _delete(self, number: int, run: Run, **arguments: Any) -> Any:
        self.world.active.append(run)
        conn_id = self.world.centres[number].conn_id
        return IinkedDeleteVideosOperator(task_id="delete", iinked_sign_conn_id=conn_id, **arguments)

    def _guarded(self, number: int, xcom: list[dict[str, Any]], narrow: Any, preview: bool) -> Any:
        named = {copy.get("meeting_video_id") for copy in xcom}
        package = next((copy.get("package_id") for copy in xcom), "none")
        ids = named if narrow is None else named & {narrow}
        claims = {copy.get("meeting_video_id"): copy.get("sha256") for copy in xcom}
        run = Run(self.world.centres[number], str(package), set() if preview else ids, claims)
        chosen = {} if narrow is None else {"meeting_video_ids": narrow}
        return self._delete(number, run, verified_copies=xcom, preview=preview, **chosen)

    @rule(pick=picks, swap=st.integers(0, 9), narrow=st.integers(0, 3), preview=st.integers(0, 5), meanwhile=turmoil)
    def delete_guarded(self, pick: int, swap: int, narrow: int, preview: int, meanwhile: Turmoil) -> None:
        found = self._xcom(pick)
        if found is None:
            return
        number, package, xcom = found
        # Now and then a Dag is wired to the other data centre's connection.
        number = 1 - number if swap == 0 else number
        narrow_to = self._video_id(package, 0) if narrow == 0 else None
        self._run_guarded(number, package, xcom, narrow_to, preview == 0, meanwhile)

    def _run_guarded(
        self,
        number: int,
        package: str,
        xcom: list[dict[str, Any]],
        narrow: Any,
        preview: bool,
        meanwhile: Turmoil,
    ) -> None:
        self._begin_task()
        self._meanwhile(number, package, meanwhile)
        answer = self._execute(self._guarded(number, xcom, narrow, preview))
        self.world.active.clear()
        if answer is not None and not preview:
            named = [copy.get("meeting_video_id") for copy in xcom]
            self._check_deleted(number, package, named if narrow is None else [narrow])

    @rule(
        number=centres,
        package=packages,
        fresh=st.booleans(),
        between=st.none() | spoils | changes | mishaps.edits | st.tuples(st.just("record"), mishaps.edits),
        slot=slots,
        first=turmoil,
        then=turmoil,
    )
    def whole_chain(
        self, number: int, package: str, fresh: bool, between: Any, slot: int, first: Turmoil, then: Turmoil
    ) -> None:
        """Download, then guarded delete, as a Dag does; between the two something is spoilt, edited or changed."""
        if fresh:
            self._add(number, package, "archived", 40_000)
        before = len(self.xcoms)
        self.download(number, package, "*", False, first)
        if len(self.xcoms) == before:
            return
        xcom = self.xcoms[-1][2]
        if isinstance(between, str):
            self._happen(number, package, slot, between)
        elif between is not None and xcom:
            self._edit_between(xcom, between)
        self._run_guarded(number, package, xcom, None, False, then)

    def _edit_between(self, xcom: list[dict[str, Any]], between: tuple[str, Any]) -> None:
        """Edit the newest copy's record, or its entry in the XCom."""
        if between[0] == "record":
            path = Path(str(xcom[-1]["custody_uri"]).removeprefix("file://"))
            record = read_json(path) or {}
            self.world.spoil(path, mishaps.as_bytes(mishaps.edit(record, between[1], xcom[0])))
        else:
            xcom[-1] = mishaps.edit(xcom[-1], between, xcom[0])

    @rule(number=centres, package=packages)
    def whole_chain_undisturbed(self, number: int, package: str) -> None:
        """With nothing wrong any more the chain ends well, unless what lies at the destination is not ours to touch."""
        self.recover(number)
        self._connect(self.world.centres[number])
        self._begin_task()
        self.world.centres[number].plan({})
        self._add(number, package, "archived", 40_000)
        newest = list(self.world.centres[number].videos(package))[-1]
        record = self.world.folder / package / f"{newest}.custody.json"
        blocked = record.exists()
        xcom = self._execute(self._download(number, package, [newest], False))
        assert blocked or xcom is not None, f"{newest} could not be copied although nothing was wrong"
        if xcom is None:
            return
        self._keep(number, package, xcom)
        answer = self._execute(self._guarded(number, xcom, None, False))
        self.world.active.clear()
        assert blocked or answer is not None, f"{newest} could not be deleted although nothing was wrong"
        if answer is not None:
            TALLY["undisturbed chains done"] += 1
            assert self.world.centres[number].videos(package)[newest].deleted

    def _check_deleted(self, number: int, package: str, ids: list[Any]) -> None:
        """A delete task that ended well has left none of its recordings, and completed their receipts."""
        TALLY["guarded deletes done"] += 1
        centre = self.world.centres[number]
        gone = {d.video_id for d in centre.sim.ledger.deletion_records if d.by_id}
        for video_id in ids:
            video = centre.videos(package).get(video_id)
            assert video is None or video.deleted or video_id in self.world.moved, f"{video_id} is still there"
            receipt = read_json(self.world.folder / package / f"{video_id}.deletion.json")
            if receipt is not None and video_id in gone:
                assert receipt["status"] == "deleted"

    @rule(pick=picks, with_download=st.booleans())
    def two_tasks_at_once(self, pick: int, with_download: bool) -> None:
        found = self._xcom(pick)
        if found is None:
            return
        number, package, xcom = found
        self._begin_task()
        first = self._guarded(number, xcom, None, False)
        second = (
            self._download(number, package, "*", True) if with_download else self._guarded(number, xcom, None, False)
        )
        results = self._at_once([first, second])
        self.world.active.clear()
        if with_download:
            self._keep(number, package, results[1])

    def _at_once(self, operators: list[Any]) -> list[Any]:
        TALLY["tasks at once"] += len(operators)
        results: list[Any] = [None] * len(operators)
        broken: list[BaseException] = []

        def work(position: int, operator: Any) -> None:
            try:
                results[position] = self._execute(operator)
            except BaseException as error:
                broken.append(error)

        threads = [threading.Thread(target=work, args=item) for item in enumerate(operators)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken:
            raise broken[0]
        return results

    @rule(
        number=centres,
        package=packages,
        chosen=st.none() | st.lists(slots, min_size=1, max_size=2),
        meanwhile=turmoil,
    )
    def delete_without_copies(self, number: int, package: str, chosen: list[int] | None, meanwhile: Turmoil) -> None:
        """By id, or (None) all that the list shows."""
        ids = None if chosen is None else self._ids(package, chosen)
        self._begin_task()
        self._meanwhile(number, package, meanwhile)
        run = Run(self.world.centres[number], package, None if ids is None else set(ids))
        what: dict[str, Any] = {"delete_all": True} if ids is None else {"meeting_video_ids": ids}
        receipts = f"file://{self.world.receipts}" if ids is None else None
        self._execute(self._delete(number, run, package_id=package, receipt_destination=receipts, **what))
        self.world.active.clear()

    # --- what must hold

    @invariant()
    def promises_hold(self) -> None:
        TALLY["steps"] += 1
        self.world.check()
