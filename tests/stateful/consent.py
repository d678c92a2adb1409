"""Rules about several destinations, locks, holds, erasures and a person's approval."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from airflow_provider_iinked.custody.hold import place_hold, release_hold
from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.storage.lock import Lock
from tests.stateful import faults as mishaps
from tests.stateful.tasks import ChainTasks, Turmoil, claims_of, in_order
from tests.stateful.vault import VaultStore
from tests.stateful.world import TALLY, Run

centres = st.integers(0, 1)
packages = st.sampled_from(("p1", "p2"))
picks = st.integers(0, 7)
slots = st.integers(0, 3)
UNTIL = datetime(2036, 12, 31, tzinfo=UTC)
WAYS = {
    "two": (["disk", "one"], {}),
    "locked": (["one", "two"], {"retain_for": "2036-12-31", "retention_mode": "COMPLIANCE"}),
    "locked by governance": (["one"], {"retain_for": "2036-12-31", "retention_mode": "GOVERNANCE"}),
    "no locks there": (["disk", "one"], {"retain_for": "2036-12-31"}),
}
BREAKS = ["gone", "shorter", "weaker"]
SPOILS = ["gone", "cut", "changed"]
NO_YES = ["no", "nobody", "another plan", "edited digest", "words", "edited entries"]
ANSWERS = ["yes", "yes", "yes", *NO_YES]
places_of_holds = ("disk", "one", "two", "receipts")
places = st.sampled_from(places_of_holds)
between = st.one_of(
    st.none(),
    st.tuples(st.just("spoil"), picks, st.sampled_from(SPOILS)),
    st.tuples(st.just("spoil at one place"), picks, st.sampled_from(SPOILS)),
    st.tuples(st.just("lock"), picks, st.sampled_from(BREAKS)),
    st.tuples(st.just("list"), slots, st.sampled_from(["appear", "vanish", "size", "duration", "deleted", "failed"])),
    st.tuples(st.just("hold"), picks, places),
)
"""What happens between a look and the deletion that rests on it."""


class ConsentTasks(ChainTasks):
    """Copies at several places, held, locked, erased and approved."""

    def __init__(self) -> None:
        super().__init__()
        self.approvals: list[dict[str, Any]] = []

    # --- copies and locks

    @rule(number=centres, package=packages, way=st.sampled_from(sorted(WAYS)), ignored=st.booleans(), new=st.booleans())
    def download_to_several(self, number: int, package: str, way: str, ignored: bool, new: bool) -> None:
        if new:
            self._add(number, package, "archived", 45_000)
        names, lock = WAYS[way]
        VaultStore.ignores_locks = ignored and bool(lock)
        self._begin_task()
        destinations = [self.world.url(name) for name in names]
        try:
            xcom = self._execute(self._download(number, package, "*", True, destination=destinations, **lock))
        finally:
            VaultStore.ignores_locks = False
        self._keep(number, package, xcom)
        if xcom is None:
            return
        TALLY[f"downloads to several: {way}"] += bool(xcom)
        assert len(xcom) % len(names) == 0
        assert not xcom or "disk" not in names or not lock, "a lock was promised where nothing locks"
        # What is gone at the source is taken as it lies there; its lock is not renewed.
        live = {name for name, video in self.world.centres[number].videos(package).items() if not video.deleted}
        for copy in [copy for copy in xcom if lock and copy["meeting_video_id"] in live]:
            for uri in (copy["uri"], copy["custody_uri"]):
                shown = VaultStore.locks.get(self.world.path_of(uri) or Path())
                assert shown is not None, f"{uri} is not locked"
                assert not shown.lacks(Lock(lock["retention_mode"], UNTIL)), f"{uri} is not locked as asked"

    @rule(pick=picks, how=st.sampled_from(BREAKS))
    def break_lock(self, pick: int, how: str) -> None:
        self._break_lock(pick, how)

    def _break_lock(self, pick: int, how: str, pattern: str = "*") -> None:
        """A store loses, shortens or weakens a lock, of a file that the pattern matches where there is one."""
        locked = sorted(VaultStore.locks)
        if not locked:
            return
        among = [path for path in locked if path.match(pattern)] or locked
        path = among[pick % len(among)]
        lock = VaultStore.locks.pop(path)
        TALLY["locks broken"] += 1
        if how == "shorter":
            VaultStore.locks[path] = Lock(lock.mode, datetime(2027, 1, 1, tzinfo=UTC))
        if how == "weaker":
            VaultStore.locks[path] = Lock("GOVERNANCE", lock.retain_until)

    @rule(pick=picks, changed=between, min_copies=st.integers(1, 3))
    def delete_from_several(self, pick: int, changed: Any, min_copies: int) -> None:
        found = self._xcom(pick)
        if found is None:
            return
        number, package, xcom = found
        self._begin_task()
        self._change_between(number, package, changed)
        answer = self._execute(self._guarded(number, xcom, None, False, min_copies=min_copies))
        self.world.active.clear()
        if answer is not None:
            self._check_deleted(number, package, xcom, [copy.get("meeting_video_id") for copy in xcom])

    @rule(number=centres, package=packages, way=st.sampled_from(["two", "locked"]), changed=between, one=st.booleans())
    def chain_over_several(self, number: int, package: str, way: str, changed: Any, one: bool) -> None:
        """Download to two places and delete; the deletion may be given the copies of one place alone."""
        self._make_well(number, package)
        before = len(self.xcoms)
        self.download_to_several(number, package, way, False, True)
        if len(self.xcoms) == before or not self.xcoms[-1][2]:
            return
        xcom = self.xcoms[-1][2]
        if one:
            xcom = [copy for copy in xcom if f"/{WAYS[way][0][0]}/" in copy["uri"]]
        self._begin_task()
        self._change_between(number, package, changed)
        self._execute(self._guarded(number, xcom, None, False, min_copies=2))
        self.world.active.clear()

    def _make_well(self, number: int, package: str) -> None:
        """End what is wrong with a data centre, and every hold of a package."""
        centre = self.world.centres[number]
        centre.sim.faults.clear()
        centre.sim.quirks.reset()
        centre.plan({})
        self._connect(centre)
        self._release(package)

    def _copy_newest(self, number: int, package: str, way: str) -> tuple[str, list[dict[str, Any]]] | None:
        """With nothing wrong any more, copy a new recording to several places; None where it cannot be tried."""
        self._make_well(number, package)
        self._begin_task()
        self._add(number, package, "archived", 40_000)
        newest = list(self.world.centres[number].videos(package))[-1]
        names, lock = WAYS[way]
        if any((self.world.folders[name] / package / f"{newest}.custody.json").exists() for name in names):
            return None  # The other data centre's recording of the same id is there.
        destinations = [self.world.url(name) for name in names]
        xcom = self._execute(self._download(number, package, [newest], False, destination=destinations, **lock))
        assert xcom is not None, f"{newest} could not be copied although nothing was wrong"
        self._keep(number, package, xcom)
        return newest, xcom

    @rule(number=centres, package=packages, pick=picks, how=st.sampled_from(BREAKS), one=st.booleans())
    def delete_after_a_lock_was_broken(self, number: int, package: str, pick: int, how: str, one: bool) -> None:
        """Nothing is wrong but the lock of one copy or record, at a place that is given or only promised."""
        if (made := self._copy_newest(number, package, "locked")) is None:
            return
        newest, xcom = made
        self._break_lock(pick, how, f"{package}/{newest}.*")
        self._execute(self._guarded(number, xcom[: 1 if one else 2], None, False, min_copies=2))
        self.world.active.clear()
        assert not self.world.centres[number].videos(package)[newest].deleted, f"{newest} had a broken lock"

    @rule(number=centres, package=packages, wrong=st.sampled_from(NO_YES))
    def undisturbed_with_locks_and_approval(self, number: int, package: str, wrong: str) -> None:
        """With nothing wrong any more, what a person approved is deleted, and nothing on any other answer."""
        if (made := self._copy_newest(number, package, "locked")) is None:
            return
        newest, xcom = made
        centre = self.world.centres[number]
        preview = self._execute(self._guarded(number, xcom, None, True, min_copies=2))
        self.world.active.clear()
        assert preview is not None, f"{newest} could not be previewed although nothing was wrong"
        saw = {newest: self.world.seen(centre, package, newest, claims_of(xcom))}
        refused = self._guarded(number, xcom, None, False, saw={}, approval=self._answer(preview, wrong), story=wrong)
        assert self._execute(refused) is None, f"a deletion went on with the answer {wrong!r}"
        self.world.active.clear()
        approval = self._answer(preview, "yes")
        operator = self._guarded(number, xcom, None, False, min_copies=2, saw=saw, approval=approval)
        assert self._execute(operator) is not None, f"{newest} could not be deleted although nothing was wrong"
        self.world.active.clear()
        assert centre.videos(package)[newest].deleted
        TALLY["undisturbed chains with locks and approval"] += 1

    # --- holds and erasures

    @rule(package=packages, place=places, reason=st.sampled_from(["matter 1", "matter 2"]), again=st.booleans())
    def hold(self, package: str, place: str, reason: str, again: bool) -> None:
        for _ in range(1 + again):
            self._hold(package, place, reason)
        assert len({hold.read_text() for hold in self._holds(place, package)}) == len(self.world.holds[place, package])

    def _holds(self, place: str, package: str) -> list[Path]:
        return list((self.world.folders[place] / package).glob("_hold-????????.json"))

    def _hold(self, package: str, place: str, reason: str) -> None:
        placed = place_hold(self.world.url(place), package, reason=reason, held_by="ada", settle_for=0)
        holds = self.world.holds.setdefault((place, package), {})
        holds.setdefault(placed["hold_id"], set()).update(placed["under_way"])
        TALLY["holds placed"] += 1

    @rule(pick=picks, place=places, delay=st.integers(0, 5))
    def hold_while_deleting(self, pick: int, place: str, delay: int) -> None:
        """A hold comes at any moment of a deletion; what it does not name is not asked for after it."""
        found = self._xcom(pick)
        if found is None:
            return
        number, package, xcom = found
        self._begin_task()
        operator = self._guarded(number, xcom, None, False)

        def place_it() -> None:
            time.sleep(delay / 200)
            self._hold(package, place, "matter 4")

        self._at_once([operator], [place_it])
        self.world.active.clear()

    @rule(package=packages)
    def release(self, package: str) -> None:
        self._release(package)

    def _release(self, package: str) -> None:
        """Release each hold of a package, wherever it lies."""
        for place in places_of_holds:
            for hold_id in self.world.holds.pop((place, package), {}):
                release_hold(self.world.url(place), package, reason="over", hold_id=hold_id)
                TALLY["holds released"] += 1
            assert self._holds(place, package) == []

    @rule(package=packages, place=st.sampled_from(["disk", "one", "two"]), slot=slots)
    def erase(self, package: str, place: str, slot: int) -> None:
        self._erase(package, place, self._video_id(package, slot))

    @rule(number=centres, package=packages, place=st.sampled_from(WAYS["two"][0]))
    def erase_what_is_held(self, number: int, package: str, place: str) -> None:
        """Nothing stands against the erasure but a hold."""
        if made := self._copy_newest(number, package, "two"):
            self._hold(package, place, "matter 4")
            self._erase(package, place, made[0])

    def _erase(self, package: str, place: str, video_id: str) -> None:
        folder = self.world.folders[place] / package
        copies = [path for path in folder.glob(f"{video_id}.*") if path.suffix in (".mp4", ".webm")]
        locked = [path for path in folder.glob(f"{video_id}.*") if path in VaultStore.locks]
        held = bool(self.world.holds.get((place, package)))
        before = [path.read_bytes() for path in copies]
        aside = [path.read_bytes() for path in folder.glob(f"{video_id}.*set-aside*")]
        try:
            erase_copy(self.world.url(place), package, video_id, reason="asked for")
        except IinkedSignError:
            assert held or locked or not copies, "a copy that nobody holds was not erased"
            assert not held or [path.read_bytes() for path in copies] == before
            return
        assert not held, "a copy of a held package was erased"
        TALLY["copies erased"] += len(copies)
        self.world.forget([*before, *aside])

    # --- a person's approval

    @rule(
        pick=picks,
        answer=st.sampled_from(ANSWERS),
        changed=between,
        min_copies=st.integers(1, 2),
        again=st.booleans(),
        meanwhile=st.tuples(st.lists(st.tuples(st.integers(1, 4), slots, st.sampled_from(SPOILS)), max_size=1)),
    )
    def delete_approved(
        self, pick: int, answer: str, changed: Any, min_copies: int, again: bool, meanwhile: Any
    ) -> None:
        found = self._xcom(pick)
        if found is None:
            return
        number, package, xcom = found
        self._begin_task()
        preview = self._execute(self._guarded(number, xcom, None, True, min_copies=min_copies))
        self.world.active.clear()
        if preview is None:
            return
        centre, claims = self.world.centres[number], claims_of(xcom)
        planned = [item["meeting_video_id"] for item in preview["plan"]]
        saw = {video_id: self.world.seen(centre, package, video_id, claims) for video_id in planned}
        approval = self._answer(preview, answer)
        self._begin_task()
        self._change_between(number, package, changed)
        # Nothing at all may be asked for unless each recording is what the person saw.
        still = all(self.world.seen(centre, package, video_id, claims) == saw[video_id] for video_id in saw)
        turmoil: Turmoil = ([], meanwhile[0])
        for _ in range(1 + again):
            self._meanwhile(number, package, turmoil)
            shown = saw if answer == "yes" and still else {}
            story = f"{answer}, {changed}, still true: {still}, saw {saw}"
            more = {"approval": approval, "story": story, **in_order(turmoil)}
            operator = self._guarded(number, xcom, None, False, min_copies=min_copies, saw=shown, **more)
            self._execute(operator)
            self.world.active.clear()
            turmoil = ([], [])

    @rule(number=centres, package=packages, answer=st.sampled_from(ANSWERS), changed=between, other=packages)
    def delete_all_approved(self, number: int, package: str, answer: str, changed: Any, other: str) -> None:
        """All that the list shows, of the package that was shown or (now and then) of another one."""
        self._begin_task()
        arguments: dict[str, Any] = {
            "delete_all": True,
            "receipt_destination": self.world.url("receipts"),
        }
        centre = self.world.centres[number]
        run = Run(centre, package, set())
        preview = self._execute(self._delete(number, run, package_id=package, preview=True, **arguments))
        self.world.active.clear()
        if preview is None:
            return
        planned = [item["meeting_video_id"] for item in preview["plan"]]
        saw = {video_id: self.world.seen(centre, package, video_id, None) for video_id in planned}
        approval = self._answer(preview, answer)
        self._begin_task()
        self._change_between(number, package, changed)
        live = {video_id for video_id, video in centre.videos(package).items() if not video.deleted}
        still = live == set(saw) and all(self.world.seen(centre, package, v, None) == saw[v] for v in saw)
        shown = saw if answer == "yes" and still and other == package else {}
        run = Run(centre, other, None, saw=shown, story=f"all of {other}: {answer}, {changed}, {still}, {saw}")
        self._execute(self._delete(number, run, package_id=other, approval=approval, **arguments))
        self.world.active.clear()

    def _answer(self, preview: dict[str, Any], answer: str) -> Any:
        """What the approval task returns."""
        yes: dict[str, Any] = {
            "approved": True,
            "plan_sha256": preview["plan_sha256"],
            "responded_by": "ada",
            "responded_at": "2026-11-28T00:00:00+00:00",
        }
        self.approvals.append(yes)
        TALLY[f"answers: {answer}"] += 1
        if answer == "another plan":
            other = self.approvals[0]
            return other if other["plan_sha256"] != yes["plan_sha256"] else {**yes, "plan_sha256": "1" * 64}
        changes: dict[str, Any] = {
            "no": {"approved": False},
            "nobody": {"responded_by": None},
            "edited digest": {"plan_sha256": "0" * 64},
            "words": {"approved": "True"},
            "edited entries": {"entries": [["p1", "p1-v0", "0" * 64]]},
        }
        return {**yes, **changes.get(answer, {})}

    # --- between a look and a deletion

    def _change_between(self, number: int, package: str, changed: Any) -> None:
        if changed is None:
            return
        kind, pick, how = changed
        if kind == "spoil":
            self._happen(number, package, pick % 4, how)
        elif kind == "spoil at one place":
            folder = self.world.folders[("two", "one", "disk")[pick % 3]] / package
            for path in folder.glob(f"{self._video_id(package, pick // 6)}.[mw]*"):
                self.world.spoil(path, mishaps.spoil_bytes(path.read_bytes(), how))
        elif kind == "lock":
            self._break_lock(pick, how, f"{package}/*")
        elif kind == "list":
            self._change(number, package, pick, how)
            # What changed before the task began is for the task to see.
            self.world.moved.clear()
        else:
            self._hold(package, how, "matter 3")
