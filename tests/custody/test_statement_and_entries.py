"""Statements, entries, names and times are written in one way, and read in no other."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_iinked.custody import entries as module
from airflow_provider_iinked.custody.archive_paths import (
    Kind,
    document_name,
    envelope_of,
    is_package_folder,
    parse_name,
    seal_number,
    seal_path,
    sort_key,
)
from airflow_provider_iinked.custody.entries import Act, Entry, FileDigest, newest, parse_entry
from airflow_provider_iinked.custody.errors import EnvelopeError, SealError
from airflow_provider_iinked.custody.merkle import Frontier
from airflow_provider_iinked.custody.seal import EntriesFile, Seal, read_seal, sign_seal
from airflow_provider_iinked.custody.statement import (
    DOCUMENT_TYPE,
    SEAL_TYPE,
    canonical_json,
    format_time,
    is_time,
    read_statement,
    sign_document,
    sign_statement,
)
from tests.custody.sealed_archives import make_key

KEY = make_key()
SHA = "a" * 64
TIME = "2026-11-27T12:00:00.000000Z"
digests = st.builds(
    FileDigest,
    size=st.integers(0, 2**60),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    validator=st.none() | st.text(max_size=20),
)
paths = st.from_regex(r"[A-Za-z0-9_-]{1,3}/[A-Za-z0-9_-]{1,3}\.custody\.json", fullmatch=True)
entry_values = st.builds(
    Entry,
    act=st.sampled_from(Act),
    path=paths,
    file=digests,
    envelope=digests,
    signed_at=st.datetimes(timezones=st.just(UTC), min_value=datetime(1990, 1, 1)).map(format_time),
    copy_path=st.text(max_size=10),
    copy=digests,
    status=st.none(),
)


# --- names


@pytest.mark.parametrize("kind", [Kind.RECORD, Kind.RECEIPT, Kind.TOMBSTONE])
@given(video=st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True))
def test_a_documents_name_and_its_envelopes_are_read_as_they_are_written(kind, video):
    name = document_name(video, kind)
    parsed, envelope = parse_name(name), parse_name(envelope_of(name))
    assert (parsed.meeting_video_id, parsed.kind, parsed.of) == (video, kind, name)
    assert (envelope.meeting_video_id, envelope.kind, envelope.of) == (video, Kind.ENVELOPE, name)


@pytest.mark.parametrize(
    "name",
    [
        "v1",
        "v1.",
        ".mp4",
        "v1.json",
        "v1.mp4.set-aside-20261127T000000Z-00",
        ".tmp-1",
        "v1.mp4.part",
        "v 1.mp4",
        "v1.other.json",
        "v1.mp4.dsse.json",
        "v1.custody.json.dsse.json.dsse.json",
        "v1.mp4\n",
    ],
)
def test_other_names_are_no_part_of_an_archive(name):
    assert parse_name(name) is None


@pytest.mark.parametrize("name", ["v1.mp4", "v1.webm", "-_.mkv"])
def test_a_copy_is_known_by_its_suffix(name):
    assert parse_name(name).kind is Kind.COPY


def test_seals_are_numbered_in_their_names_and_their_folder_is_no_package():
    assert seal_number(seal_path(12).partition("/")[2]) == 12
    assert seal_number("12.seal.json") is None
    assert not is_package_folder("_seals")
    assert is_package_folder("a-b_1")


def test_packages_are_sorted_before_names():
    assert sorted(["a-b/x", "a/x", "a/y"], key=sort_key) == ["a/x", "a/y", "a-b/x"]


# --- times


moments = st.datetimes(datetime(1900, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))]))


@given(moments.filter(lambda time: time.year < 9999), moments.filter(lambda time: time.year < 9999))
def test_times_sort_as_their_texts_do(one, other):
    assert (format_time(one) < format_time(other)) == (one < other)
    assert is_time(format_time(one))


@pytest.mark.parametrize(
    "value", [None, 1, "", "2026-11-27T12:00:00Z", f"{TIME}\n", "2026-13-27T12:00:00.000000Z", TIME[:-1]]
)
def test_a_time_written_otherwise_is_none(value):
    assert not is_time(value)


# --- statements


def test_a_statement_of_another_kind_is_refused():
    envelope = sign_document("p/v.custody.json", SHA, KEY, copy=None, signed_at=TIME)
    assert read_statement(envelope, DOCUMENT_TYPE, [KEY.public]).predicate == {"signed_at": TIME}
    with pytest.raises(EnvelopeError, match="another kind"):
        read_statement(envelope, SEAL_TYPE, [KEY.public])


def test_numbers_of_a_predicate_stay_whole():
    envelope = sign_statement({"a": SHA}, DOCUMENT_TYPE, {"n": 2**60}, KEY)
    assert read_statement(envelope, DOCUMENT_TYPE, [KEY.public]).predicate["n"] == 2**60


def test_floats_that_are_no_numbers_are_not_written():
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


# --- entries


@given(entry_values)
def test_an_entry_is_read_as_it_was_written(entry):
    assert parse_entry(entry.line()) == entry


@given(entry_values)
def test_an_entry_that_is_written_otherwise_is_refused(entry):
    for line in (entry.line() + b" ", json.dumps(json.loads(entry.line())).encode()):
        with pytest.raises(SealError, match="malformed"):
            parse_entry(line)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000])
def test_a_malformed_entry_is_refused(line):
    with pytest.raises(SealError, match="malformed"):
        parse_entry(line)


@settings(max_examples=25)
@given(st.lists(st.lists(entry_values, max_size=6, unique_by=lambda entry: entry.path), max_size=5))
def test_of_each_path_the_entry_of_the_last_stream_wins(streams):
    streams = [sorted(stream, key=lambda entry: sort_key(entry.path)) for stream in streams]
    expected = {entry.path: entry for stream in streams for entry in stream}
    found = list(newest(streams))
    assert {entry.path: entry for entry in found} == expected
    assert [sort_key(entry.path) for entry in found] == sorted(sort_key(path) for path in expected)


@settings(max_examples=25)
@given(st.lists(entry_values, max_size=10, unique_by=lambda entry: entry.path))
def test_a_file_of_entries_is_read_as_it_was_written(tmp_path_factory, values):
    values.sort(key=lambda entry: sort_key(entry.path))
    path = tmp_path_factory.mktemp("entries") / "entries.gz"
    written, read = Frontier(), Frontier()
    assert module.write_entries(values, path, written) == len(values)
    assert list(module.read_entries(path, read)) == values
    assert (written.root, written.size) == (read.root, len(values))


def test_entries_that_are_not_sorted_are_refused(tmp_path):
    entry = Entry(Act.ADDED, "p/b.custody.json", FileDigest(1, SHA, None), None, None, None, None, None)
    module.write_entries([entry, replace(entry, path="p/a.custody.json")], tmp_path / "x.gz")
    with pytest.raises(SealError, match="not sorted"):
        list(module.read_entries(tmp_path / "x.gz"))


# --- seals


def seal(**changes) -> Seal:
    entries = EntriesFile(f"_seals/00000001.{SHA}.entries.jsonl.gz", SHA, 0)
    first = Seal(1, None, TIME, Frontier(), entries, {"added": 0}, None, 0, 0, False)
    return replace(first, **changes)


def test_a_seal_is_read_as_it_was_written():
    read, key = read_seal(sign_seal(seal(), KEY), [KEY.public])
    assert (read.predicate(), key) == (seal().predicate(), KEY.public)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0},
        {"number": 2},
        {"previous": SHA},
        {"time": "yesterday"},
        {"documents": -1},
        {"documents": True},
        {"entries": EntriesFile("_seals/other.gz", SHA, 0)},
        {"entries": EntriesFile(f"_seals/00000001.{SHA}.entries.jsonl.gz", SHA, 1.5)},
    ],
)
def test_a_malformed_seal_is_refused_though_it_is_signed(changes):
    with pytest.raises(SealError, match="malformed"):
        read_seal(sign_seal(seal(**changes), KEY), [KEY.public])


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": True},
        {"tree": None},
        {"tree": {"size": 1, "root": SHA, "frontier": []}},
        {"timestamp": "x"},
    ],
)
def test_a_seal_of_another_format_or_without_its_tree_is_refused(changes):
    file = seal().entries
    data = sign_statement({file.path: file.sha256}, SEAL_TYPE, seal().predicate() | changes, KEY)
    with pytest.raises(SealError):
        read_seal(data, [KEY.public])


def test_a_seal_whose_subjects_are_not_its_files_is_refused():
    data = sign_statement({"_seals/other.gz": SHA}, SEAL_TYPE, seal().predicate(), KEY)
    with pytest.raises(SealError, match="subjects"):
        read_seal(data, [KEY.public])
