"""A seal reads what is new, launders nothing, survives a kill anywhere, and one of two sealers wins."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from airflow_provider_iinked.custody import sealer
from airflow_provider_iinked.custody.archive_files import LocalArchive
from airflow_provider_iinked.custody.errors import SealConflictError, SealError, TimestampError
from airflow_provider_iinked.custody.sealer import SealOptions, seal_archive
from tests.custody.sealed_archives import SignedArchive, flip, make_key, remove


class Watched(LocalArchive):
    """A local archive that notes what is opened, and dies before or after a chosen creation."""

    def __init__(self, root, *, die_at=None, after=False):
        super().__init__(root)
        self.opened = Counter()
        self.created = []
        self._die_at = die_at
        self._after = after

    def open(self, path):
        self.opened[path] += 1
        return super().open(path)

    def create(self, path, source):
        dies = len(self.created) == self._die_at
        self.created.append(path)
        if dies and not self._after:
            raise KeyboardInterrupt
        done = super().create(path, source)
        if dies:
            raise KeyboardInterrupt
        return done


def packages_opened(files: Watched) -> set[str]:
    return {path for path in files.opened if not path.startswith("_seals/")}


@pytest.fixture
def sealed(empty):
    for package in ("p1", "p2"):
        for video in ("v1", "v2", "v3"):
            empty.record(package, video)
    empty.seal()
    return empty


# --- incremental


def test_the_first_seal_reads_every_document_and_no_copy(empty):
    empty.record("p1", "v1")
    empty.receipt("p1", "v1")
    result = empty.seal()
    assert (result.files_read, result.recordings, result.seal.documents) == (4, 1, 2)
    assert result.seal.changes == {"added": 2, "changed": 0, "revalidated": 0, "erased": 0}


def test_a_seal_after_a_quiet_day_reads_nothing_of_any_package(sealed):
    files = Watched(sealed.root)
    result = seal_archive(files, sealed.key)
    assert packages_opened(files) == set()
    assert (result.files_read, result.bytes_read, result.seal.entries.count) == (0, 0, 0)
    assert sealed.audit().is_intact


def test_a_seal_reads_what_is_new_or_changed_and_nothing_else(sealed):
    sealed.record("p1", "v9")
    sealed.receipt("p2", "v1")
    files = Watched(sealed.root)
    result = seal_archive(files, sealed.key)
    assert packages_opened(files) == {
        f"{path}{suffix}" for path in ("p1/v9.custody.json", "p2/v1.deletion.json") for suffix in ("", ".dsse.json")
    }
    assert result.files_read == 4
    assert result.seal.changes["added"] == 2


def test_of_the_chain_no_more_is_read_than_back_to_the_last_whole_state(sealed):
    for _ in range(6):
        sealed.seal(state_every=4)
    files = Watched(sealed.root)
    seal_archive(files, sealed.key, SealOptions(state_every=4))  # number 8
    seals = {path for path in files.opened if path.endswith(".seal.json")}
    assert seals == {f"_seals/{number:08d}.seal.json" for number in (4, 5, 6, 7)}
    assert sealed.audit().is_intact


def test_where_the_storage_has_no_validators_documents_are_read_each_time(sealed):
    class Blind(Watched):
        def files(self, folder):
            return [type(info)(info.name, info.size, None) for info in super().files(folder)]

    files = Blind(sealed.root)
    assert seal_archive(files, sealed.key).differences == ()
    again = Blind(sealed.root)
    assert seal_archive(again, sealed.key).files_read == 6 * 3  # record, envelope, copy


def test_an_archive_that_was_moved_is_read_once_and_then_no_more(sealed, tmp_path):
    moved = sealed.copy_to(tmp_path / "moved")
    first, second = moved.seal(), moved.seal()
    assert (first.differences, first.seal.changes["revalidated"]) == ((), 6)
    assert second.files_read == 0
    assert moved.audit().is_intact


def test_memory_does_not_grow_with_the_archive(empty):
    def peak(packages: range) -> int:
        for number in packages:
            empty.record(f"p{number:05d}", "v1", b"x")
        tracemalloc.start()
        empty.seal(max_parallel=1)
        seen = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return seen

    peak(range(2))  # what is imported or cached once
    small = peak(range(100))
    large = peak(range(100, 600))
    assert large < small + 500_000


# --- nothing is laundered


def test_a_changed_copy_is_reported_and_its_entry_stays(sealed):
    flip(sealed.root / "p1/v1.mp4")
    for _ in range(2):
        result = sealed.seal()
        assert [str(item) for item in result.differences] == [
            "p1/v1.mp4: copy changed: its sha256 is not that of its record"
        ]
        assert result.seal.differences == 1
    assert {difference.path for difference in sealed.audit().differences} == {"p1/v1.mp4"}


def test_a_removed_recording_still_differs_after_later_seals(sealed):
    remove(sealed, "p1/v1.*")
    sealed.seal()
    result = sealed.seal(state_every=3)
    assert {item.path for item in result.differences} == {"p1/v1.custody.json", "p1/v1.mp4"}
    assert {item.path for item in sealed.audit().differences} == {"p1/v1.custody.json", "p1/v1.mp4"}


def test_a_record_signed_by_another_key_is_not_sealed(sealed):
    sealed.record("p1", "v9")
    path = sealed.root / "p1/v9.custody.json"
    other = SignedArchive(sealed.root, make_key())
    other.record("p1", "v9")
    assert path.exists()
    result = sealed.seal()
    assert {str(item.kind) for item in result.differences} == {"signature wrong", "unrecorded"}
    assert result.seal.documents == 6


def test_a_record_that_was_copied_again_and_signed_later_takes_the_place_of_the_old_one(sealed):
    sealed.record("p1", "v1", b"fetched again")
    result = sealed.seal()
    assert (result.differences, result.seal.changes["changed"]) == ((), 1)
    assert sealed.audit().is_intact


def test_documents_without_envelopes_are_sealed_only_where_that_is_allowed(empty):
    empty.record("p1", "v1")
    remove(empty, "p1/*.dsse.json")
    assert {str(item.kind) for item in empty.seal().differences} == {"signature missing", "unrecorded"}
    assert empty.seal(allow_unsigned=True).differences == ()
    assert empty.audit().is_intact
    flip(empty.root / "p1/v1.custody.json", 30)
    assert not empty.audit().is_intact


def test_a_document_that_was_sealed_unsigned_may_be_signed_later(empty):
    empty.record("p1", "v1")
    envelope = empty.root / "p1/v1.custody.json.dsse.json"
    data = envelope.read_bytes()
    envelope.unlink()
    empty.seal(allow_unsigned=True)
    envelope.write_bytes(data)
    assert empty.seal().differences == ()
    envelope.unlink()
    assert not empty.audit().is_intact


# --- a chain that cannot be relied on is not continued


@pytest.mark.parametrize("harm", ["flip", "forge", "entries"])
def test_nothing_is_sealed_on_top_of_what_cannot_be_relied_on(sealed, harm):
    sealed.seal()
    if harm == "flip":
        flip(sealed.root / "_seals/00000002.seal.json", 40)
    elif harm == "forge":
        forger = SignedArchive(sealed.root, make_key())
        (sealed.root / "_seals/00000002.seal.json").unlink()
        forger.seal(public_keys=[sealed.key.public])
    else:
        remove(sealed, "_seals/00000001.*.entries.jsonl.gz")
    before = sorted(sealed.root.glob("_seals/*"))
    with pytest.raises(SealError):
        sealed.seal()
    assert sorted(sealed.root.glob("_seals/*")) == before


def test_a_time_stamp_authority_that_fails_leaves_no_seal(sealed):
    def refuse(data: bytes) -> bytes:
        raise TimestampError("refused")

    with pytest.raises(TimestampError):
        sealed.seal(request_timestamp=refuse)
    assert [path.name for path in sealed.root.glob("_seals/*.seal.json")] == ["00000001.seal.json"]
    assert sealed.audit().is_intact


# --- clocks


def test_a_clock_that_was_ahead_once_does_not_keep_the_archive_from_being_sealed(sealed, monkeypatch):
    class Ahead(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime(2036, 1, 1, tzinfo=UTC)

    with monkeypatch.context() as patch:
        patch.setattr(sealer, "datetime", Ahead)
        ahead = sealed.seal()
    sealed.record("p9", "v1")
    after = sealed.seal()
    assert (ahead.clock_was_behind, after.clock_was_behind) == (False, True)
    assert after.seal.time == ahead.seal.time
    assert (sealed.audit().differences, sealed.audit().unsealed) == ([], [])


# --- killed, and two at once


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", range(4))
def test_a_sealer_killed_around_any_write_leaves_an_archive_that_verifies_and_seals(sealed, stamp, roots, act, after):
    sealed.record("p9", "v1")
    files = Watched(sealed.root, die_at=act, after=after)
    with pytest.raises(KeyboardInterrupt):
        seal_archive(files, sealed.key, SealOptions(request_timestamp=stamp, state_every=2))
    assert [name.rpartition(".")[2] for name in files.created] == ["gz", "gz", "tsr", "json"][: act + 1]
    assert sealed.audit(tsa_certificates=roots).differences == []
    sealed.record("p9", "v2")
    assert sealed.seal(request_timestamp=stamp, state_every=2).differences == ()
    result = sealed.audit(tsa_certificates=roots)
    assert (result.differences, result.unsealed, result.recordings) == ([], [], 8)


def test_of_two_sealers_at_once_one_wins_and_the_other_says_so(sealed):
    both = Barrier(2)

    class Racing(LocalArchive):
        def create(self, path, source):
            if path.endswith(".seal.json"):
                both.wait(60)
            return super().create(path, source)

    def run(_):
        try:
            return seal_archive(Racing(sealed.root), sealed.key)
        except SealConflictError as error:
            return error

    sealed.record("p9", "v1")
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run, range(2)))
    [lost] = [outcome for outcome in outcomes if isinstance(outcome, SealConflictError)]
    [won] = [outcome for outcome in outcomes if outcome is not lost]
    assert "wrote seal 2 first" in str(lost)
    result = sealed.audit(expected_seal=won.sha256)
    assert (result.differences, result.seals, result.unsealed) == ([], 2, [])


def test_two_sealers_by_turns_go_on_with_one_chain(sealed):
    for number in range(3):
        sealed.record("p9", f"v{number}")
        seal_archive(LocalArchive(sealed.root), sealed.key)
    assert (sealed.audit().seals, sealed.audit().differences) == (4, [])
