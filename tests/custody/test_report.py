"""The report: one page, nothing loaded from elsewhere, everything escaped, trouble on top."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from airflow_provider_iinked.custody.audit import AuditResult
from airflow_provider_iinked.custody.recordings import Recording, read_recordings
from airflow_provider_iinked.custody.report import write_report
from tests.custody.sealed_archives import flip

pytest.importorskip("matplotlib")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def recording(package: str, video: str, day: int, **more) -> Recording:
    record = {"time": f"2026-11-{day:02d}T03:00:00Z", "size": 5_000_000, "url": "https://host/secret", **more}
    return Recording(package, video, record, {"status": "deleted", "deleted_at": record["time"]}, None)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report(recordings, result=None) -> str:
    return write_report(recordings, result or AuditResult(), title="s3://archive/recordings", now=NOW)


def test_it_loads_nothing_from_elsewhere():
    page = Page(report([recording("p1", f"v{day}", day) for day in range(1, 20)]))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a", "image"}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action"):
                assert value.startswith("#")
    assert "@import" not in report([])
    assert not re.search(r"url\((?!#)", report([recording("p1", "v1", 1)]))


def test_what_documents_say_is_escaped_and_unnamed_fields_are_left_out():
    evil = "<script>alert(1)</script>"
    text = report([recording(evil, evil, 1, retain_until="2026-12-01", media=evil)])
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "https://host/secret" not in text


def test_a_difference_stands_on_top_in_words(archive):
    flip(archive.root / "p1/v1.mp4")
    result = archive.audit()
    text = Page(report(read_recordings(archive.files, ["p1"]), result)).text
    assert "1 difference. Somebody has to look" in text
    assert text.index("p1/v1.mp4 copy changed") < text.index("In all")


def test_an_intact_archive_says_so(archive, last_seal):
    text = Page(report(read_recordings(archive.files, ["p-3", "p1", "p2", "p4"]), archive.audit())).text
    assert "No difference." in text
    assert last_seal in text
    assert "Recordings 6 Copied 6" in text


def test_a_lock_that_ends_soon_is_named_and_one_of_an_erased_copy_is_not():
    erased = Recording("p1", "v3", {"retain_until": "2026-12-01"}, None, {"status": "erased"})
    soon, later = (
        recording("p1", "v1", 1, retain_until="2026-12-01"),
        recording("p1", "v2", 1, retain_until="2036-12-01"),
    )
    text = Page(report([soon, later, erased])).text
    assert "2026-12-01 ends in 4 days 1 p1/v1" in text
    assert "p1/v2 " not in text
    assert "p1/v3 " not in text


def test_where_the_seals_differ_it_does_not_promise_that_the_next_seal_mends_it(archive):
    flip(archive.root / "_seals/00000001.seal.json", 60)
    text = Page(report(read_recordings(archive.files, ["p1"]), archive.audit())).text
    assert "could not be compared with a seal" in text
    assert "next seal takes" not in text


def test_a_few_weeks_are_shown_by_day_and_years_by_month():
    assert "Recordings a day" in report([recording("p", "v1", 1), recording("p", "v2", 20)])
    old = Recording("p", "v3", {"time": "2024-02-01T00:00:00Z"}, None, None)
    text = report([recording("p", "v1", 1), old])
    assert "Recordings a month" in text
    assert "From 2024-02 to 2026-11." in text


def test_each_plot_says_in_a_sentence_what_it_shows():
    page = Page(report([recording("p", f"v{number}", 3) for number in range(7)]))
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "figure"]
    assert len(labels) == 2
    assert "Copied into the archive: 7 recordings in all, most (7): 3 Nov" in labels[0]


def test_an_empty_archive_and_documents_without_sense_give_a_page():
    odd = Recording("p", "v", {"time": 7, "size": True, "video": [], "retain_until": "2026-99-99"}, {"status": []}, {})
    assert "Recordings 1 Copied 1 Size of the copies 0 bytes" in Page(report([odd])).text
    assert "Recordings 0" in Page(report([])).text


def test_equal_data_give_equal_pages():
    recordings = [recording("p", f"v{day}", day) for day in range(1, 9)]
    assert report(recordings) == report(recordings)


def test_the_plot_of_sizes_has_a_unit_in_which_they_are_short():
    assert ">kB</text>" in report([recording("p1", "v1", 1, size=40_000)])
    assert ">GB</text>" in report([recording("p1", "v1", 1, size=40_000_000_000)])
