"""The chain on a platform that follows HTTP in odd ways: by hand, by Airflow, and what its errors tell."""

from __future__ import annotations

import gzip
import json
import logging

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from tests.hostile.hostile_platform import KEY, PACKAGE, TOKEN, reply

LISTS = {
    "HTTP/1.0 without a length": lambda body: reply(200, body, version="1.0", framing="close"),
    "chunked": lambda body: reply(200, body, framing="chunked"),
    "gzip": lambda body: reply(200, gzip.compress(json.dumps(body).encode()), (("content-ENCODING", "gzip"),)),
    "not called JSON": lambda body: reply(200, body, (("Content-Type", "text/html"),)),
    "a byte order mark": lambda body: reply(200, b"\xef\xbb\xbf" + json.dumps(body).encode()),
    "no package": lambda body: reply(200, {"videos": body["videos"]}),
    "the package in capitals": lambda body: reply(200, {**body, "packageId": PACKAGE.upper()}),
    "unknown fields": lambda body: reply(200, {**body, "x": [1], "videos": [{**v, "new": {}} for v in body["videos"]]}),
}


@pytest.mark.parametrize("shape", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("tells", [True, False], ids=["says that it closes", "closes without a word"])
def test_the_chain_ends_well_with_any_spelling_of_the_list(ground, shape, tells):
    platform = ground.platform
    for video in ("v", "w"):
        platform.add(video)
    platform.on["list"] = lambda asked: shape(platform.listing()).replace(
        b"CLOSE", b"close" if tells else b"keep-alive"
    )
    copies = ground.download()
    ground.delete(verified_copies=copies)
    assert ground.download() == copies
    ground.delete(verified_copies=copies)
    assert platform.deleted == ["v", "w"]
    ground.holds("v", "w", besides=("v.deletion.json", "w.deletion.json"))


BROKEN = {
    "a page": reply(200, b"<html>"),
    "empty": reply(200),
    "a bare list": reply(200, []),
    "no videos": reply(200, {}),
    "videos as text": reply(200, {"packageId": PACKAGE, "videos": "[]"}),
    "a video without an id": reply(200, {"packageId": PACKAGE, "videos": [{"state": "archived"}]}),
    "an id that is a path": reply(200, {"packageId": PACKAGE, "videos": [{"meetingVideoId": "../v"}]}),
    "cut": reply(200, {"packageId": PACKAGE, "videos": []}, cut=20),
    "lengths that contradict": reply(200, {"packageId": PACKAGE, "videos": []}, (("Content-Length", "7"),)),
    "broken gzip": reply(200, b"x", (("Content-Encoding", "gzip"),)),
    "a redirect to no address": reply(302, b"", (("Location", "http://[\xff"),)),
    "a redirect with a secret": reply(302, b"", (("Location", f"https://host.example/?{TOKEN}"),)),
    "garbage": b"\xff\r\n\r\n",
    "a secret in an error": reply(400, {"error": "package_odd", "message": f"/v?access={TOKEN} {KEY}"}),
}


def texts(error):
    """The texts of an error and of all that it was raised from or while handling."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield f"{error} {error!r}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_without_a_list_that_can_be_read_nothing_is_done_and_no_secret_shown(ground, answer):
    ground.platform.add("v")
    copies = ground.download()
    ground.platform.on["list"] = lambda asked: answer
    for act in (
        ground.download,
        lambda: ground.delete(verified_copies=copies),
        lambda: ground.delete(package_id=PACKAGE, delete_all=True),
        lambda: ground.delete(package_id=PACKAGE, meeting_video_ids="v", preview=True),
        lambda: IinkedSignHook().list_videos(PACKAGE),
    ):
        with pytest.raises(exceptions.IinkedSignError) as caught:
            act()
        assert not any(secret in text for text in texts(caught.value) for secret in (KEY, TOKEN))
    assert ground.platform.calls("delete") == []


@pytest.mark.parametrize("answer", [b"", b"\xff\r\n\r\n", reply(403), reply(302, b"", (("Location", "http://[x"),))])
def test_no_error_of_a_transfer_tells_the_signed_address(ground, answer):
    ground.platform.add("v")
    ground.platform.on["media"] = lambda asked: answer
    for act in (ground.download, lambda: IinkedSignHook().download_video(PACKAGE, "v", ground.destination)):
        with pytest.raises(exceptions.TransferError) as caught:
            act()
        assert not any(secret in text for text in texts(caught.value) for secret in (KEY, TOKEN))


def test_a_recordings_host_that_is_not_there_is_reported_without_its_address(ground):
    ground.platform.add("v", url=f"http://localhost:1/v?access={TOKEN}")
    with pytest.raises(exceptions.TransferError) as caught:
        IinkedSignHook().download_video(PACKAGE, "v", ground.destination)
    assert not any(TOKEN in text for text in texts(caught.value))


DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_iinked.operators.custody import IinkedVerifyCopiesOperator
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator

with DAG("{dag_id}", schedule=None) as dag:
    download = IinkedDownloadVideosOperator.partial(task_id="download", destination="DESTINATION").expand(
        package_id=["PACKAGE"]
    )
    delete = IinkedDeleteVideosOperator.partial(task_id="delete").expand(verified_copies=download.output)
    all_at_once = IinkedDeleteVideosOperator(task_id="all_at_once", verified_copies=download.output)
    verify = IinkedVerifyCopiesOperator(task_id="verify", destination="DESTINATION")
    download >> delete >> all_at_once >> verify
"""


def test_airflow_runs_the_mapped_chain_and_runs_it_again(ground, run_dag, caplog):
    caplog.set_level(logging.INFO)  # Airflow itself is told the XComs at DEBUG; they hold no secret, but take long
    platform = ground.platform
    platform.add("v", source="half a character: \ud800", size="50000")
    platform.add("W", size=50_000.0, meetingId=...)
    platform.on["list"] = lambda asked: reply(200, platform.listing(), framing="chunked", tells=False)
    platform.on["media"] = lambda asked: reply(200, platform.bytes_of[asked.path[3:]], version="1.0", framing="close")
    source = DAG.replace("DESTINATION", ground.destination).replace("PACKAGE", PACKAGE)

    first = run_dag(source)
    assert first.states == dict.fromkeys(["download[0]", "delete[0]", "all_at_once", "verify"], "success")
    assert sorted(platform.deleted) == ["W", "v"]
    assert TOKEN not in first.xcom_texts()
    again = run_dag(source, again=first)
    assert set(again.states.values()) == {"success"}
    assert len(platform.calls("delete")) == 2
