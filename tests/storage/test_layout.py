"""Every name of the archive, made and read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.storage import layout
from airflow_provider_iinked.storage.layout import COPY_SUFFIXES, Entry, Kind, Layout

NOW = datetime(2026, 11, 27, 21, 53, 45, tzinfo=UTC)
PLACE = Layout.of("s3://conn@bucket/copies", "p-1")
ASIDE = "20261127T215345Z-0123456789abcdef"

NAMES = {
    "v_1.mp4": Entry(Kind.COPY, "v_1", ".mp4"),
    "v-1.webm": Entry(Kind.COPY, "v-1", ".webm"),
    "v.custody.json": Entry(Kind.RECORD, "v"),
    "v.deletion.json": Entry(Kind.RECEIPT, "v"),
    "v.erased.json": Entry(Kind.TOMBSTONE, "v"),
    "_hold-0123abcd.json": Entry(Kind.HOLD, nonce="0123abcd"),
    "v.custody.json.dsse.json": Entry(Kind.RECORD, "v", signature=True),
    "v.deletion.json.dsse.json": Entry(Kind.RECEIPT, "v", signature=True),
    f"v.mp4.set-aside-{ASIDE}": Entry(Kind.COPY, "v", ".mp4", quarantined=ASIDE),
    f"v.custody.json.set-aside-{ASIDE}": Entry(Kind.RECORD, "v", quarantined=ASIDE),
    f"v.custody.json.dsse.json.set-aside-{ASIDE}": Entry(Kind.RECORD, "v", signature=True, quarantined=ASIDE),
    "v.adhoc-0123abcd.part": Entry(Kind.TEMPORARY, stem="v", token="adhoc", nonce="0123abcd"),
    "v.custody.json.00ff00ff00ff00ff-0123abcd.part": Entry(
        Kind.TEMPORARY, stem="v.custody.json", token="00ff00ff00ff00ff", nonce="0123abcd"
    ),
}
OTHERS = [
    *("", ".", "v", "v.txt", "v.json", "v.mp4.bak", "v.part", "a film.mp4", "v.custody.json.bak", ".mp4", "v.MP4"),
    *("v.adhoc-0123abcd.mp4", "v.mp4.set-aside-", "v.mp4.set-aside-yesterday", f"notes.txt.set-aside-{ASIDE}"),
    *("v.mp4.dsse.json.dsse.json", "v/w.mp4", "v.mp4\n", "v.x-1.part", "_hold.json", "_hold-1.json"),
]


@pytest.mark.parametrize(("name", "entry"), NAMES.items(), ids=NAMES)
def test_a_name_says_what_an_object_is_and_is_made_from_that(name, entry):
    assert layout.parse(name) == entry
    assert entry.name == name


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_are_not_ours(name):
    assert layout.parse(name) is None


IDS = st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)
KINDS = st.sampled_from([Kind.RECORD, Kind.RECEIPT, Kind.TOMBSTONE])
CURRENT = (
    st.builds(Entry, st.just(Kind.COPY), IDS, st.sampled_from(COPY_SUFFIXES))
    | st.builds(Entry, KINDS, IDS)
    | st.builds(Entry, st.just(Kind.HOLD), nonce=st.text("0123456789abcdef", min_size=8, max_size=8))
)


@st.composite
def entries(draw):
    entry = draw(CURRENT)
    marks = {"signature": draw(st.booleans())}
    if draw(st.booleans()):
        marks["quarantined"] = layout.quarantined(entry.name, draw(st.datetimes(datetime(2020, 1, 1)))).partition(
            ".set-aside-"
        )[2]
    return layout.replace(entry, **marks)


@given(entries())
def test_what_is_made_is_read_again(entry):
    assert layout.parse(entry.name) == entry


@given(entries(), st.sampled_from(["adhoc", "00ff00ff00ff00ff"]))
def test_a_temporary_name_says_what_it_stands_for_and_whose_it_is(entry, token):
    found = layout.parse(layout.temporary(f"a/b/{entry.name}", token).removeprefix("a/b/"))

    assert (found.kind, found.stem, found.token) == (Kind.TEMPORARY, entry.name, token)


def test_a_temporary_name_is_no_longer_than_a_disk_takes_and_still_says_whose_it_is():
    name = layout.temporary("v" * 250, "token")

    assert len(name) == 255
    assert layout.parse(name).token == "token"


def test_two_temporary_names_and_two_names_in_quarantine_are_never_the_same():
    assert layout.temporary("v", "t") != layout.temporary("v", "t")
    assert layout.quarantined("v.mp4", NOW) != layout.quarantined("v.mp4", NOW)


def test_urls_of_a_package():
    base = "s3://conn@bucket/copies/p-1"
    assert PLACE.copy("v", ".mp4") == f"{base}/v.mp4"
    assert PLACE.record("v") == f"{base}/v.custody.json"
    assert PLACE.receipt("v") == f"{base}/v.deletion.json"
    assert PLACE.tombstone("v") == f"{base}/v.erased.json"
    assert PLACE.hold("0123abcd") == f"{base}/_hold-0123abcd.json"
    assert layout.signature_of(PLACE.record("v")) == f"{base}/v.custody.json.dsse.json"
    assert Layout.beside(f"{base}/v.mp4") == PLACE
    assert PLACE.package_id == "p-1"


def test_copies_are_found_with_and_without_those_in_quarantine():
    names = [*NAMES, "v.mov", "v2.mp4", f"v2.mp4.set-aside-{ASIDE}"]

    assert layout.copies_of(names, "v") == ["v.mov"]
    assert layout.copies_of(names, "v", quarantined=True) == [f"v.mp4.set-aside-{ASIDE}", "v.mov"]


@pytest.mark.parametrize(
    ("kind", "ids"),
    [(Kind.RECORD, ["v"]), (Kind.COPY, ["v_1", "v-1"]), (Kind.TOMBSTONE, ["v"]), (Kind.RECEIPT, ["v"])],
)
def test_ids_of_what_counts(kind, ids):
    assert layout.ids_of(NAMES, kind) == ids


@pytest.mark.parametrize(
    ("name", "expected"), [("p-1", True), ("_seals", False), ("p.1", False), ("", False), ("_p", True)]
)
def test_which_folders_can_be_a_packages(name, expected):
    assert layout.is_package_folder(name) is expected
