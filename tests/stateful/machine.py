"""The state machine: whatever happens to recordings, files and requests, the promises hold after every step."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.stateful import faults as mishaps
from tests.stateful.consent import ConsentTasks
from tests.stateful.tasks import STATES, Turmoil
from tests.stateful.world import TALLY, Run, read_json

PACKAGES = ("p1", "p2")
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


class ChainMachine(ConsentTasks):
    """Dags archive the packages of two data centres, while much goes wrong."""

    # --- recordings appear, change and vanish

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        for number in (0, 1):
            for package in PACKAGES:
                self.world.centres[number].sim.add_package(package)
                for _ in range(data.draw(st.integers(0, 2))):
                    self._add(number, package, "archived", 60_000)

    @rule(number=centres, package=packages, state=st.sampled_from(STATES), size=st.integers(5_000, 90_000))
    def add_recording(self, number: int, package: str, state: str, size: int) -> None:
        self._add(number, package, state, size)

    @rule(number=centres, package=packages, slot=slots, how=changes)
    def change_recording(self, number: int, package: str, slot: int, how: str) -> None:
        self._change(number, package, slot, how)

    # --- the service misbehaves

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
        records = sorted(self.world.root.glob("*/*/*.custody.json"))
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

    # --- tasks run

    ids = st.one_of(st.just("*"), st.lists(slots, max_size=3))

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

    @rule(
        number=centres,
        package=packages,
        between=spoils | changes | mishaps.edits | st.tuples(st.just("record"), mishaps.edits),
        trap=st.booleans(),
        fault=mishaps.recording_faults,
    )
    def chain_with_one_thing_wrong(self, number: int, package: str, between: Any, trap: bool, fault: Any) -> None:
        """The same for a new recording of a service that is well again, so that the one thing decides."""
        self.recover(number)
        self._connect(self.world.centres[number])
        self._add(number, package, "archived", 50_000)
        newest = self._video_id(package, 0, number)
        if trap:
            for suffix in (".mp4", ".webm"):
                path = self.world.folder / package / f"{newest}{suffix}"
                if not path.exists():
                    self.world.spoil(path, b"\0\0\0\x18ftypisom")
        before = len(self.xcoms)
        self._begin_task()
        self._meanwhile(number, package, ([fault], []))
        self._keep(number, package, self._execute(self._download(number, package, [newest], False)))
        if len(self.xcoms) == before:
            return
        # What is published is judged before anything else may happen to it.
        self.world.check()
        xcom = self.xcoms[-1][2]
        if isinstance(between, str):
            self._happen(number, package, 0, between)
        elif xcom:
            self._edit_between(xcom, between)
        self._run_guarded(number, package, xcom, None, False, ([], []))

    @rule(number=centres, package=packages)
    def whole_chain_undisturbed(self, number: int, package: str) -> None:
        """With nothing wrong any more the chain ends well, unless what lies at the destination is not ours to touch."""
        self._make_well(number, package)
        self._begin_task()
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

    @rule(
        number=centres,
        fresh=st.integers(0, 3),
        at_work=st.integers(1, 8),
        package=packages,
        slot=slots,
        between=st.none() | spoils | changes,
        first=turmoil,
        then=turmoil,
    )
    def sweep(
        self, number: int, fresh: int, at_work: int, package: str, slot: int, between: Any, first: Turmoil, then: Any
    ) -> None:
        """One download and one deletion for all packages, several recordings at work; one thing changes between."""
        for each in PACKAGES:
            for _ in range(fresh):
                self._add(number, each, "archived", 30_000)
        self._begin_task()
        self._meanwhile(number, package, first)
        xcom = self._execute(self._download(number, list(PACKAGES), "*", True, max_parallel=at_work))
        if xcom is None:
            return
        copies = {each: [copy for copy in xcom if copy["package_id"] == each] for each in PACKAGES}
        for each in PACKAGES:
            self._keep(number, each, copies[each])
        if between:
            self._happen(number, package, slot, between)
        self._begin_task()
        self._meanwhile(number, package, then)
        # What is spoilt after it was verified ahead is not seen.
        ahead = 1 if then[1] else at_work
        answer = self._execute(self._guarded_sweep(number, copies, ahead))
        self.world.active.clear()
        if answer is not None:
            TALLY["sweeps done"] += 1
            for each in PACKAGES:
                self._check_deleted(number, each, copies[each], [copy["meeting_video_id"] for copy in copies[each]])

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
        run = Run(self.world.centres[number], package, None if ids is None else set(ids), has_receipts=ids is None)
        what: dict[str, Any] = {"delete_all": True} if ids is None else {"meeting_video_ids": ids}
        receipts = f"file://{self.world.receipts}" if ids is None else None
        self._execute(self._delete(number, run, package_id=package, receipt_destination=receipts, **what))
        self.world.active.clear()

    # --- what must hold

    @invariant()
    def promises_hold(self) -> None:
        TALLY["steps"] += 1
        self.world.check()
