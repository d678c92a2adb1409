"""A package under legal hold: nothing of it is deleted or erased, at whatever moment the hold comes."""

from __future__ import annotations

import json
import threading

import pytest

from airflow_provider_iinked.custody.hold import find_holds, place_hold, release_hold
from airflow_provider_iinked.custody.record import TaskIdentity
from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.deletion import receipts as receipts_module
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError, LegalHoldError, StorageError
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from airflow_provider_iinked.storage import open_store
from airflow_provider_iinked.storage.fsspec_store import FsspecStore
from airflow_provider_iinked.storage.layout import Layout
from airflow_provider_iinked.storage.local import LocalStore

_ACTS = ["list_names", "read_bytes", "read_chunks", "create_bytes", "replace_bytes", "fsync", "remove_stale"]


@pytest.fixture
def copied(chain):
    package, _ = chain.package("a", "b", package_id="p")
    return chain, chain.download(package)


def hold(chain, **more):
    return place_hold(chain.destination, "p", **{"reason": "a matter", "settle_for": 0, **more})


def receipts(chain):
    return {path.name: json.loads(path.read_text())["status"] for path in chain.folder.glob("p/*.deletion.json")}


def test_nothing_of_a_held_package_is_deleted(copied):
    chain, copies = copied
    hold(chain)
    with pytest.raises(LegalHoldError, match="a matter"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
    assert set(receipts(chain).values()) <= {"withdrawn"}


def test_what_is_deleted_already_is_done_under_a_hold_too_and_its_receipt_is_completed(copied):
    chain, copies = copied
    chain.delete(verified_copies=copies)
    path = chain.path("p", "a.deletion.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "requested"}))
    assert hold(chain)["under_way"] == ["a"]
    chain.delete(verified_copies=copies)
    assert len(chain.ledger.delete_requests) == 2
    assert set(receipts(chain).values()) == {"deleted"}


def test_other_packages_of_the_same_task_are_deleted(chain):
    held, _ = chain.package("a", package_id="p")
    other, _ = chain.package("c", package_id="q")
    copies = chain.download([held, other])
    hold(chain)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == ["c"]


def test_a_preview_says_that_a_package_is_held_and_writes_nothing(copied):
    chain, copies = copied
    hold(chain)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(verified_copies=copies, preview=True)
    assert receipts(chain) == {}


def test_a_hold_where_the_receipts_lie_holds_a_deletion_without_copies(copied):
    chain, _ = copied
    hold(chain)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(package_id="p", meeting_video_ids="a", receipt_destination=chain.destination)
    assert chain.ledger.delete_requests == []


def test_a_hold_at_one_of_two_destinations_holds(chain, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalStore, "failure_domain", lambda self, url: "second" if "/second" in url else "first")
    package, _ = chain.package("a", package_id="p")
    second = f"file://{tmp_path}/second"
    copies = chain.download(package, destination=[chain.destination, second])
    place_hold(second, "p", reason="a matter", settle_for=0)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


def test_a_hold_that_cannot_be_read_holds(copied):
    chain, copies = copied
    chain.path("p", "_hold-0123abcd.json").write_text("{")
    with pytest.raises(LegalHoldError, match="cannot be read"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


def test_a_folder_that_cannot_be_listed_after_the_receipt_keeps_the_recording(copied, monkeypatch):
    chain, copies = copied
    listed = LocalStore.list_names

    def list_names(self, url, prefix=""):
        if chain.path("p", "a.deletion.json").exists():
            raise IinkedSignError("the store is away")
        return listed(self, url, prefix)

    monkeypatch.setattr(LocalStore, "list_names", list_names)
    with pytest.raises(IinkedSignError, match="away"):
        chain.delete(verified_copies=copies, meeting_video_ids="a")
    assert chain.ledger.delete_requests == []


# --- every order of a hold and a deletion


class Moments:
    """Lets a hold be placed right before the n-th act of a deletion, and notes when requests go out."""

    def __init__(self, chain, monkeypatch):
        self.chain, self.at, self.count, self.placed = chain, None, 0, None
        self.sent_after = []
        self._busy, self._lock = threading.local(), threading.Lock()
        for owner, names in ((FsspecStore, _ACTS), (LocalStore, _ACTS), (IinkedSignHook, ["delete_video"])):
            for name in names:
                if name in vars(owner):
                    monkeypatch.setattr(owner, name, self._wrap(vars(owner)[name]))

    def _wrap(self, really):
        def act(*arguments, **more):
            self.step()
            if really.__name__ == "delete_video" and self.placed is not None:
                self.sent_after.append(arguments[2])
            return really(*arguments, **more)

        act.__name__ = really.__name__
        return act

    def step(self):
        if getattr(self._busy, "now", False):
            return
        with self._lock:
            self.count += 1
            if self.count - 1 != self.at:
                return
            self._busy.now = True
            try:
                self.placed = hold(self.chain)
            finally:
                self._busy.now = False


@pytest.mark.parametrize("look_age", [0.0, receipts_module.HOLD_LOOK_AGE], ids=["a-look-each", "shared-looks"])
def test_after_a_hold_no_request_goes_out_that_the_hold_does_not_name(copied, monkeypatch, look_age):
    monkeypatch.setattr(receipts_module, "HOLD_LOOK_AGE", look_age)
    chain, _ = copied
    moments = Moments(chain, monkeypatch)
    seen = {"kept": 0, "under way": 0, "deleted before": 0}
    for at in range(60):
        chain.ledger.clear()
        video = chain.sim.add_video("p", meeting_video_id=f"v{at}")
        [copy] = chain.download("p", meeting_video_ids=video)
        moments.at, moments.count, moments.placed, moments.sent_after = at, 0, None, []
        try:
            chain.delete(verified_copies=[copy], max_parallel=1)
        except IinkedSignError as error:
            assert "legal hold" in str(error)  # noqa: PT017 - both outcomes are right, depending on the moment
        moments.at = None
        if moments.placed is None:
            break
        under_way = moments.placed["under_way"]
        assert set(moments.sent_after) <= set(under_way), f"moment {at}"
        seen["under way" if moments.sent_after else "deleted before" if chain.ledger.deletions else "kept"] += 1
        release_hold(chain.destination, "p", reason="next moment")
    assert moments.placed is None
    assert min(seen.values()) > 0, seen


def test_a_hold_that_comes_between_verification_and_request_keeps_the_recording(copied, monkeypatch):
    """The copy is verified and the receipt is written; the hold comes while the task waits for its turn to send."""
    chain, copies = copied
    monkeypatch.setattr(receipts_module, "HOLD_LOOK_AGE", 0.0)
    monkeypatch.setattr(IinkedSignHook, "wait_for_slot", lambda hook: hold(chain) and None)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
    assert set(receipts(chain).values()) == {"withdrawn"}


def test_a_hold_that_cannot_be_looked_for_right_before_the_request_keeps_the_recording(copied, monkeypatch):
    chain, copies = copied

    def away(store, url, prefix=""):
        raise StorageError("the store is away")

    monkeypatch.setattr(
        IinkedSignHook, "wait_for_slot", lambda hook: monkeypatch.setattr(LocalStore, "list_names", away)
    )
    with pytest.raises(StorageError, match="the store is away"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


@pytest.fixture
def promised(chain, tmp_path, monkeypatch):
    """A package with copies at two destinations; the XCom names those of the first one alone."""
    monkeypatch.setattr(LocalStore, "failure_domain", lambda self, url: "second" if "/second" in url else "first")
    package, _ = chain.package("a", package_id="p")
    second = f"file://{tmp_path}/second"
    copies = chain.download(package, destination=[chain.destination, second])
    return chain, copies[:1], second


@pytest.mark.parametrize("preview", [True, False])
def test_a_hold_beside_a_copy_that_only_a_record_names_holds(promised, preview):
    chain, copies, second = promised
    place_hold(second, "p", reason="a matter", settle_for=0)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(verified_copies=copies, preview=preview)
    assert chain.ledger.delete_requests == []


def test_a_hold_beside_a_copy_that_only_a_record_names_sees_what_is_under_way(promised, meanwhile, tmp_path):
    chain, copies, second = promised
    placed = []
    meanwhile.before_first_deletion(lambda: placed.append(place_hold(second, "p", reason="x", settle_for=0)))
    chain.delete(verified_copies=copies)
    assert placed[0]["under_way"] == ["a"]
    assert json.loads((tmp_path / "second/p/a.deletion.json").read_text())["status"] == "deleted"


def test_receipts_beside_every_copy_are_completed_by_the_run_after_a_killed_one(promised, tmp_path):
    chain, copies, _ = promised
    chain.delete(verified_copies=copies)
    paths = [chain.path("p", "a.deletion.json"), tmp_path / "second/p/a.deletion.json"]
    for path in paths:
        path.write_text(json.dumps({**json.loads(path.read_text()), "status": "requested"}))
    chain.delete(verified_copies=copies)
    assert [json.loads(path.read_text())["status"] for path in paths] == ["deleted", "deleted"]


@pytest.mark.parametrize("spelling", ["Pack-A", "PACK-A", "pack-a"])
def test_a_hold_is_seen_by_a_deletion_that_spells_the_package_otherwise(chain, spelling):
    chain.sim.quirks.case_insensitive_ids = True
    chain.package("a", package_id="pack-a")
    place_hold(chain.destination, "pack-a", reason="a matter", settle_for=0)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(package_id=spelling, meeting_video_ids="a", receipt_destination=chain.destination)
    assert chain.ledger.delete_requests == []


def test_a_hold_goes_where_the_packages_copies_are_however_it_is_spelt(chain):
    package, _ = chain.package("a", package_id="pack-a")
    copies = chain.download(package)
    place_hold(chain.destination, "PACK-A", reason="a matter", settle_for=0)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


@pytest.mark.parametrize(("held", "copied"), [("PACK-A", "pack-a"), ("pack-a", "Pack-A")])
def test_a_hold_that_was_there_before_the_copies_holds_however_they_spell_the_package(chain, held, copied):
    chain.sim.quirks.case_insensitive_ids = True
    chain.package("a", package_id="pack-a")
    place_hold(chain.destination, held, reason="a matter", settle_for=0)
    copies = chain.download(copied)
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


def test_a_hold_in_a_second_folder_of_the_package_ends_a_deletion_and_sees_what_is_under_way(chain, meanwhile):
    chain.sim.quirks.case_insensitive_ids = True
    chain.package("a", "b", package_id="pack-a")
    chain.download("PACK-A", meeting_video_ids=["b"])
    copies = chain.download("pack-a")
    placed = []
    meanwhile.before_first_deletion(
        lambda: placed.append(place_hold(chain.destination, "PACK-A", reason="a matter", settle_for=0))
    )
    with pytest.raises(IinkedSignError, match="legal hold"):
        chain.delete(verified_copies=copies, max_parallel=1)
    assert placed[0]["under_way"] == ["a"]
    assert chain.ledger.deletions == ["a"]


@pytest.mark.parametrize("named", [True, False])
def test_a_hold_in_a_second_folder_of_the_package_can_be_released(chain, named):
    chain.package("a", package_id="pack-a")
    held = place_hold(chain.destination, "PACK-A", reason="a matter", settle_for=0)["hold_id"]
    copies = chain.download("pack-a")
    for _ in "again":
        released = release_hold(chain.destination, "pack-a", reason="over", hold_id=held if named else None, task=TASK)
        assert released == {"hold_id": held, "package_id": "pack-a", "held_by_others": []}
    chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == ["a"]


# --- asking again


TASK = TaskIdentity("d", "r", "t", -1, 1)


def test_a_task_that_runs_again_finds_its_hold(copied):
    chain, _ = copied
    first = hold(chain, task=TASK)
    again = hold(chain, task=TaskIdentity("d", "r", "t", -1, 2), reason="a matter, as it is called now")
    assert again["hold_id"] == first["hold_id"]
    assert len(list(chain.folder.glob("p/_hold-*"))) == 1


@pytest.mark.parametrize("other", [("e", "r", "t", -1), ("d", "s", "t", -1), ("d", "r", "u", -1), ("d", "r", "t", 3)])
def test_another_task_or_run_places_a_hold_of_its_own(copied, other):
    chain, _ = copied
    assert hold(chain, task=TASK)["hold_id"] != hold(chain, task=TaskIdentity(*other, 1))["hold_id"]


def test_a_person_who_gives_the_same_reason_again_finds_the_hold(copied):
    chain, _ = copied
    first = hold(chain, held_by="ada")
    assert hold(chain, held_by="ada")["hold_id"] == first["hold_id"]
    others = {hold(chain, held_by="bob")["hold_id"], hold(chain, held_by="ada", reason="other")["hold_id"]}
    assert len(others - {first["hold_id"]}) == 2


def test_a_task_whose_hold_was_released_places_it_again(copied):
    chain, _ = copied
    first = hold(chain, task=TASK)
    release_hold(chain.destination, "p", reason="over")
    assert hold(chain, task=TASK)["hold_id"] == first["hold_id"]
    assert chain.path("p", f"_hold-{first['hold_id']}.json").exists()


def test_a_hold_whose_release_was_cut_short_is_not_relied_on(copied):
    chain, _ = copied
    first = hold(chain, held_by="ada")
    path = chain.path("p", f"_hold-{first['hold_id']}.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "released_at": "2026-11-28T00:00:00Z"}))
    assert hold(chain, held_by="ada")["hold_id"] != first["hold_id"]


def test_a_release_that_is_requested_again_is_no_error(copied):
    chain, _ = copied
    named = hold(chain)["hold_id"]
    release_hold(chain.destination, "p", reason="over", hold_id=named)
    again = release_hold(chain.destination, "p", reason="over", hold_id=named)
    assert again == {"hold_id": named, "package_id": "p", "held_by_others": []}


def test_a_release_task_that_runs_again_does_not_release_another_matters_hold(copied):
    chain, _ = copied
    first = hold(chain)["hold_id"]
    assert release_hold(chain.destination, "p", reason="over", task=TASK)["hold_id"] == first
    other = hold(chain, reason="another matter")["hold_id"]
    again = release_hold(chain.destination, "p", reason="over", task=TASK)
    assert again == {"hold_id": first, "package_id": "p", "held_by_others": [other]}
    assert chain.path("p", f"_hold-{other}.json").exists()


def test_a_new_hold_waits_for_a_deletion_that_is_under_way(copied):
    chain, _ = copied
    receipt = chain.path("p", "a.deletion.json")
    receipt.write_text(json.dumps({"status": "requested"}))

    def sleep(seconds):
        receipt.write_text(json.dumps({"status": "deleted"}))

    assert hold(chain, settle_for=60, sleep=sleep)["under_way"] == []


def test_where_a_listing_lags_behind_a_hold_waits_until_it_and_what_is_under_way_show(copied, monkeypatch, caplog):
    chain, _ = copied
    path = chain.path("p", "a.deletion.json")
    path.write_text(json.dumps({"status": "requested"}))
    seconds = 0.0
    listed = LocalStore.list_names

    def lagging(self, url, prefix=""):
        hidden = [(2, "_hold-"), (3, "a.deletion")]
        return [n for n in listed(self, url, prefix) if not any(seconds < s and n.startswith(p) for s, p in hidden)]

    def sleep(pause):
        nonlocal seconds
        seconds += pause
        if seconds > 4:
            path.write_text(json.dumps({"status": "deleted"}))

    monkeypatch.setattr(LocalStore, "list_names", lagging)
    caplog.set_level("INFO")
    assert hold(chain, settle_for=60, sleep=sleep)["under_way"] == []
    assert "waiting for deletions and erasures under way: a" in caplog.text
    assert seconds == 5


def test_a_hold_that_no_listing_shows_is_placed_and_says_so(copied, monkeypatch, caplog):
    chain, _ = copied
    monkeypatch.setattr(LocalStore, "list_names", lambda self, url, prefix="": [])
    placed = hold(chain)
    assert chain.path("p", f"_hold-{placed['hold_id']}.json").exists()
    assert "does not list hold" in caplog.text


def test_a_deletion_that_does_not_end_is_named_by_the_hold(copied):
    chain, _ = copied
    chain.path("p", "a.deletion.json").write_text(json.dumps({"status": "requested"}))
    assert hold(chain)["under_way"] == ["a"]


# --- two holds, and their release


def test_a_package_with_two_holds_is_held_until_both_are_released(copied):
    chain, copies = copied
    first, second = hold(chain)["hold_id"], hold(chain, reason="another matter")["hold_id"]
    with pytest.raises(LegalHoldError, match="2 holds"):
        release_hold(chain.destination, "p", reason="which?")
    assert release_hold(chain.destination, "p", reason="over", hold_id=first)["held_by_others"] == [second]
    with pytest.raises(IinkedSignError, match=second):
        chain.delete(verified_copies=copies)
    release_hold(chain.destination, "p", reason="over", hold_id=second)
    chain.delete(verified_copies=copies)
    assert sorted(chain.ledger.deletions) == ["a", "b"]
    assert set(receipts(chain).values()) == {"deleted"}


def test_a_released_hold_stays_to_be_read_and_says_why(copied):
    chain, _ = copied
    placed = hold(chain)
    release_hold(chain.destination, "p", reason="the matter ended", released_by="counsel")
    [kept] = chain.folder.glob(f"p/_hold-{placed['hold_id']}.json.set-aside-*")
    value = json.loads(kept.read_text())
    assert "the matter ended" in json.dumps(value)
    store = open_store(chain.destination)
    assert find_holds(store, Layout.of(chain.destination, "p")) == []


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_hold_without_a_reason_is_refused(copied, reason):
    chain, _ = copied
    with pytest.raises(InvalidArgumentError, match="reason"):
        place_hold(chain.destination, "p", reason=reason)
    assert list(chain.folder.glob("p/_hold-*")) == []


def test_a_hold_that_is_not_there_cannot_be_released(copied):
    chain, _ = copied
    with pytest.raises(LegalHoldError, match="no hold"):
        release_hold(chain.destination, "p", reason="over", hold_id="0123abcd")


# --- erasing


def test_nothing_of_a_held_package_is_erased(copied):
    chain, _ = copied
    hold(chain)
    with pytest.raises(LegalHoldError):
        erase_copy(chain.destination, "p", "a", reason="asked for")
    assert chain.path("p", "a.mp4").exists()
    assert not chain.path("p", "a.erased.json").exists()


def test_a_hold_that_comes_while_a_copy_is_being_erased_keeps_it(copied, monkeypatch):
    chain, _ = copied
    write, placed = LocalStore.replace_bytes, []

    def replace_bytes(self, url, data, **more):
        write(self, url, data, **more)
        if url.endswith("a.erased.json") and not placed:
            placed.append(hold(chain))

    monkeypatch.setattr(LocalStore, "replace_bytes", replace_bytes)
    with pytest.raises(LegalHoldError):
        erase_copy(chain.destination, "p", "a", reason="asked for")
    assert chain.path("p", "a.mp4").exists()
    assert not chain.path("p", "a.erased.json").exists()


def test_after_its_release_a_copy_can_be_erased(copied):
    chain, _ = copied
    hold(chain)
    release_hold(chain.destination, "p", reason="over")
    erase_copy(chain.destination, "p", "a", reason="asked for")
    assert not chain.path("p", "a.mp4").exists()


@pytest.mark.parametrize(("place", "warned"), [(None, True), ("receipts", False)])
def test_a_deletion_that_can_see_no_hold_says_so(chain, tmp_path, caplog, place, warned):
    chain.package("a", package_id="p")
    where = {} if place is None else {"receipt_destination": f"file://{tmp_path}/{place}"}
    with caplog.at_level("WARNING"):
        chain.delete(package_id="p", meeting_video_ids="a", **where)
    assert ("no legal hold is seen" in caplog.text) is warned
