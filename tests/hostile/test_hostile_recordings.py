"""Recordings from hosts that follow the rules in odd ways, or do not follow them: whole copies, or none."""

from __future__ import annotations

import json
import threading

import pytest

from airflow_provider_iinked import exceptions
from tests.hostile.hostile_platform import PACKAGE, TOKEN, reply


def whole(ground, video="v"):
    return ground.platform.bytes_of[video]


def part(ground, asked, **changes):
    data = whole(ground)
    first = changes.pop("first", asked.offset)
    headers = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}", **changes}
    return reply(206, data[asked.offset :], tuple(headers.items()))


# --- odd, but within the rules: the copy is whole ------------------------------------------------------------------

ODD = {
    "HTTP/1.0 without a length": lambda data: reply(200, data, version="1.0", framing="close"),
    "HTTP/1.0 with a length": lambda data: reply(200, data, version="1.0"),
    "HTTP/1.1 without a length": lambda data: reply(200, data, framing="close"),
    "chunked with extensions and trailers": lambda data: reply(200, data, framing="chunked"),
    "a length twice": lambda data: reply(200, data, (("Content-Length", str(len(data))),)),
    "a part that is the whole": lambda data: reply(
        206, data, (("Content-Range", f"bytes 0-{len(data) - 1}/{len(data)}"),)
    ),
    "identity named": lambda data: reply(200, data, (("Content-Encoding", "Identity"),)),
    "no reason phrase, odd headers": lambda data: reply(
        200, data, (("eTag", 'W/"1"'), ("set-cookie", "a=b"), ("LAST-MODIFIED", "yesterday"), ("X-Ü", "ü"))
    ),
    "a date beyond all calendars": lambda data: reply(
        200,
        data,
        (("Date", "Sun, 01 Nov 2026 10:00:00 GMT"), ("Last-Modified", f"Mon, {'9' * 30} Jan 2020 00:00:00 GMT")),
    ),
    "an earlier answer before it": lambda data: b"HTTP/1.1 100 Continue\r\n\r\n" + reply(200, data),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_answer_within_the_rules_is_copied_whole(ground, answer):
    ground.platform.add("v")
    ground.platform.on["media"] = lambda asked: answer(whole(ground))
    (copy,) = ground.download()
    ground.holds("v")
    assert copy["size"] == 50_000


@pytest.mark.parametrize("kind", ["video/mp4", "application/octet-stream", "VIDEO/MP4; codecs=avc1", "", "nonsense"])
def test_the_kind_of_a_recording_is_known_by_its_bytes(ground, kind):
    ground.platform.add("v")
    ground.platform.on["media"] = lambda asked: reply(200, whole(ground), (("content-TYPE", kind),))
    ground.download()
    ground.holds("v")


TROUBLES = {
    "403 with XML": reply(403, b"<Error><Code>AccessDenied</Code></Error>", (("Content-Type", "application/xml"),)),
    "a page": reply(200, b"<html>Your link has ended</html>", (("Content-Type", "text/html"),)),
    "a page without its kind": reply(200, b"\n <!DOCTYPE html><html></html>"),
    "JSON": reply(200, {"error": "expired"}),
    "no bytes": reply(200, b""),
    "no bytes, and no length": reply(200, b"", framing="close"),
    "503": reply(503, b"", (("Retry-After", "0"),)),
    "nothing at all": b"",
    "garbage": b"\x00\xff\x00garbage\r\n\r\n",
    "a length that is cut": reply(200, b"\x00\x00\x00\x18ftypmp42" + bytes(49_988), cut=20_000),
    "chunks that are cut": reply(200, b"\x00\x00\x00\x18ftypmp42" + bytes(49_988), framing="chunked", cut=20_000),
    "a broken chunk": reply(200, b"", (("Transfer-Encoding", "chunked"),), framing="none") + b"xyz\r\n",
    "lengths that contradict": reply(200, b"abc", (("Content-Length", "7"),)),
    "too many headers": reply(200, b"", tuple((f"X-{n}", "1") for n in range(200))),
    "a header too long": reply(200, b"", (("X", "1" * 70_000),)),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_passing_trouble_is_overcome(ground, trouble):
    ground.platform.add("v")
    ground.platform.once("media", trouble)
    ground.download()
    ground.holds("v")


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_trouble_that_stays_ends_with_an_error_of_ours_and_nothing_published(ground, trouble):
    ground.platform.add("v")
    ground.platform.on["media"] = lambda asked: trouble
    with pytest.raises(exceptions.TransferError):
        ground.download()
    ground.holds()
    assert len(ground.platform.calls("media")) <= 8


@pytest.mark.parametrize("size", [..., None, 0, "0", -1, "many"])
@pytest.mark.parametrize("check_size", [True, False])
def test_a_host_without_any_bytes_is_not_asked_for_ever(ground, size, check_size):
    ground.platform.add("v", size=size)
    ground.platform.on["media"] = lambda asked: reply(200, b"")
    with pytest.raises(exceptions.TransferError):
        ground.download(check_size=check_size)
    ground.holds()


GIVING_UP = {
    "gzip": reply(200, b"\x1f\x8b", (("Content-Encoding", "gzip"),)),
    "a redirect to nowhere": reply(302),
    "a redirect to no address": reply(302, b"", (("Location", "http://[half"),)),
    "a redirect to no port": reply(302, b"", (("Location", "http://localhost:99999/v"),)),
    "a redirect to another scheme": reply(302, b"", (("Location", "data:video/mp4;base64,AAAA"),)),
    "a redirect into the open": reply(307, b"", (("Location", "http://user:secret@recordings.example/v?sig=x"),)),
    "a redirect to itself": reply(308, b"", (("Location", ""),)),
    "a redirect without end": reply(301, b"", (("Location", "/v/v?again"),)),
    "103 and nothing more": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "416 at once": reply(416, b"", (("Content-Range", "bytes */0"),)),
    "several parts": reply(206, b"--x", (("Content-Type", "multipart/byteranges; boundary=x"),)),
    "no container": reply(200, b"x" * 50_000),
}


@pytest.mark.parametrize("answer", GIVING_UP.values(), ids=GIVING_UP)
def test_what_is_no_recording_publishes_nothing_and_the_neighbour_is_copied(ground, answer):
    ground.platform.add("v")
    ground.platform.add("w")
    ground.platform.on["media"] = lambda asked: answer if asked.path.endswith("/v") else None
    with pytest.raises(exceptions.TransferError, match="v: "):
        ground.download()
    ground.holds("w")


# --- size, state, ids ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [50_000, 50_000.0, "50000", ..., None, -1, "about 50 kB", 50_000.5, [50_000]])
def test_any_spelling_of_the_size_that_does_not_contradict_is_fine(ground, size):
    ground.platform.add("v", size=size)
    ground.download()
    ground.holds("v")


@pytest.mark.parametrize("size", [50_000, 50_000.0, "50000"])
def test_any_spelling_of_the_size_is_a_length(ground, size):
    ground.platform.add("v", size=size)
    ground.platform.on["media"] = lambda asked: reply(200, whole(ground), framing="chunked")
    ground.download()
    ground.holds("v")


@pytest.mark.parametrize("size", [49_999, "50001", 1.0, 0, "0"])
def test_any_spelling_of_a_wrong_size_publishes_nothing(ground, size):
    ground.platform.add("v", size=size)
    with pytest.raises(exceptions.TransferError, match="API says"):
        ground.download()
    ground.holds()


@pytest.mark.parametrize("state", [..., None, "", "Archived", "unheard", 7, ["archived"]])
def test_a_recording_without_a_known_state_is_neither_copied_nor_deleted(ground, state):
    ground.platform.add("v", state=state)
    assert ground.download() == []
    with pytest.raises(exceptions.StateNotAllowedError):
        ground.delete(package_id=PACKAGE, delete_all=True)
    assert ground.platform.calls("delete") == []


def test_ids_keep_the_spelling_of_the_api(ground):
    ground.platform.add("ABC-Def_9")
    (copy,) = ground.download(meeting_video_ids="abc-dEF_9")
    ground.holds("ABC-Def_9")
    ground.delete(verified_copies=[copy], meeting_video_ids="abc-def_9")
    assert ground.platform.deleted == ["ABC-Def_9"]
    assert json.loads(ground.path("ABC-Def_9.deletion.json").read_text())["status"] == "deleted"


def test_an_id_listed_twice_is_copied_and_deleted_once(ground):
    ground.platform.add("v")
    listed = ground.platform.listing()
    ground.platform.once("list", reply(200, {**listed, "videos": [*listed["videos"], *listed["videos"]]}))
    copies = ground.download()
    ground.delete(verified_copies=copies)
    assert ground.platform.deleted == ["v"]


# --- broken transfers ------------------------------------------------------------------------------------------------

STRONG = {"ETag": '"1"'}
DATED = {"Date": "Sun, 01 Nov 2026 10:00:00 GMT", "Last-Modified": "Sat, 31 Oct 2026 10:00:00 GMT"}
RESUMED = {
    "a strong ETag": (STRONG, lambda ground, asked: part(ground, asked, ETag='"1"')),
    "a date": (DATED, lambda ground, asked: part(ground, asked, **DATED)),
    "a date that the part leaves out": (DATED, lambda ground, asked: part(ground, asked)),
    "a weak ETag": ({"ETag": 'W/"1"'}, lambda ground, asked: part(ground, asked, ETag='W/"1"')),
    "no validator": ({}, lambda ground, asked: part(ground, asked)),
    "ranges ignored": (STRONG, lambda ground, asked: reply(200, whole(ground), (("ETag", '"1"'),))),
    "416": (STRONG, lambda ground, asked: reply(416, b"", (("Content-Range", "bytes */50000"),))),
    "a part from elsewhere": (STRONG, lambda ground, asked: part(ground, asked, first=0, ETag='"1"')),
    "a part of something longer": (
        STRONG,
        lambda ground, asked: part(ground, asked, ETag='"1"', **{"Content-Range": f"bytes {asked.offset}-49999/50001"}),
    ),
    "a part without its place": (STRONG, lambda ground, asked: reply(206, whole(ground), (("ETag", '"1"'),))),
    "another ETag": (STRONG, lambda ground, asked: part(ground, asked, ETag='"2"')),
    "no ETag": (STRONG, lambda ground, asked: part(ground, asked)),
}


@pytest.mark.parametrize(("first", "second"), RESUMED.values(), ids=RESUMED)
def test_a_broken_transfer_ends_whole(ground, first, second):
    ground.platform.add("v")
    answers = [lambda asked: reply(200, whole(ground), tuple(first.items()), cut=25_000)]

    def media(asked):
        if answers:
            return answers.pop()(asked)
        return second(ground, asked) if "range" in asked.headers else None

    ground.platform.on["media"] = media
    ground.download()
    ground.holds("v")


def test_bytes_of_two_versions_are_never_mixed_whatever_the_part_claims(ground):
    ground.platform.add("v")
    other = whole(ground)[:12] + b"#" * 49_988

    def media(asked):
        if "range" not in asked.headers and len(ground.platform.calls("media")) == 1:
            return reply(200, whole(ground), (("ETag", '"1"'),), cut=25_000)
        ground.platform.bytes_of["v"] = other
        return part(ground, asked, ETag='"2"') if asked.offset else reply(200, other, (("ETag", '"2"'),))

    ground.platform.on["media"] = media
    ground.download()
    ground.holds("v")
    assert ground.path("v.mp4").read_bytes() == other


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/v/v?sig={token}", "//localhost:{port}/v/v", "http://u:p@127.0.0.1:{port}/v/v"])
def test_a_redirect_is_followed_with_its_range_and_without_the_key(ground, status, location):
    ground.platform.add("v", url=f"{ground.platform.media}/start?access={TOKEN}")
    target = location.format(port=ground.platform.media_port, token=f"{TOKEN}-of-the-redirect")

    def media(asked):
        if asked.path.endswith("/start"):
            return reply(status, b"moved", (("lOcAtIoN", target),), tells=False)
        if asked.offset:
            return part(ground, asked, **STRONG)
        return reply(200, whole(ground), tuple(STRONG.items()), cut=25_000)

    ground.platform.on["media"] = media
    ground.download()
    ground.holds("v")
    assert [asked.path for asked in ground.platform.calls("media")] == ["/v/start", "/v/v"] * 2


# --- signed URLs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "{media}/v?x=%7B%22a%22%3A1%7D&access={token}",
        "{media}/v?access={token}#t=10",
        "{media}/v?na me=ü&access={token}",
        "HTTP://LOCALHOST:{port}/v/v?access={token}",
        "http://127.0.0.1:{port}/v/v?access={token}",
        "{media}/v?video=v&package=Package-A&access={token}",
    ],
)
def test_any_spelling_of_a_signed_address_is_fetched(ground, address):
    platform = ground.platform
    platform.add("v", url=address.format(media=platform.media, port=platform.media_port, token=TOKEN))
    ground.download()
    ground.holds("v")
    assert TOKEN in platform.calls("media")[0].query


@pytest.mark.parametrize("url", ["", None, ..., "/v/v", "//localhost/v", "not an address", "http://", "http://[x", 5])
def test_an_address_that_cannot_be_used_publishes_nothing(ground, url):
    ground.platform.add("v", url=url)
    ground.platform.add("w")
    with pytest.raises(exceptions.TransferError, match="v: "):
        ground.download()
    ground.holds("w")


def test_the_ids_of_a_recording_are_not_masked_although_its_address_holds_them(ground, monkeypatch):
    from airflow_provider_iinked.download import log_masking as masking

    masked = []
    monkeypatch.setattr(masking, "mask_secret", masked.append)
    video = ground.platform.add("4c512b8a-c1ad-47da-ae22-5a61115505e3")
    ground.platform.videos[video]["url"] += f"&video={video.upper()}&package={PACKAGE}"
    ground.download()
    assert masked == [TOKEN]


@pytest.mark.parametrize("expires", ["2000-01-01T00:00:00Z", "never", None, ..., 5])
def test_a_clock_that_goes_wrong_does_not_matter(ground, expires):
    ground.platform.add("v", timeUrlExpires=expires)
    ground.download()
    ground.holds("v")


def test_many_recordings_from_a_host_that_fails_every_other_time(ground):
    videos = [ground.platform.add(f"v{number}") for number in range(12)]
    lock, seen = threading.Lock(), set()

    def media(asked):
        with lock:
            first = asked.path not in seen
            seen.add(asked.path)
        return b"" if first else None

    ground.platform.on["media"] = media
    assert len(ground.download(max_parallel=6)) == 12
    ground.holds(*videos)
