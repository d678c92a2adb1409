"""fake-gcs-server runs, its wire shows what is sent, and Airflow's own storage reaches it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.servers import gcs as servers

if _lacking := servers.missing():
    pytest.skip(f"{_lacking} is not installed", allow_module_level=True)

import requests

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.GcsServer]:
    with servers.gcs(tmp_path_factory.mktemp("gcs")) as running:
        yield running


@pytest.fixture
def bucket(server: servers.GcsServer) -> servers.GcsBucket:
    server.wire.heal()
    server.wire.log.clear()
    return server.bucket(f"checked-{next(_numbers)}")


def test_an_object_written_again_has_another_generation(bucket: servers.GcsBucket) -> None:
    bucket.put("a/b[1].mp4", b"first")
    first = bucket.generation("a/b[1].mp4")
    bucket.put("a/b[1].mp4", b"second")
    assert bucket.generation("a/b[1].mp4") != first
    assert (bucket.names(), bucket.get("a/b[1].mp4")) == (["a/b[1].mp4"], b"second")


def test_an_object_that_was_removed_is_gone(bucket: servers.GcsBucket) -> None:
    bucket.put("k", b"x")
    bucket.remove("k")
    assert bucket.names() == []


@pytest.mark.parametrize(
    ("status", "after", "left"), [(503, False, []), (503, True, ["k"]), (0, False, []), (0, True, ["k"])]
)
def test_an_answer_can_be_made_up_or_lost(
    server: servers.GcsServer, bucket: servers.GcsBucket, status: int, after: bool, left: list[str]
) -> None:
    address = f"{server.endpoint}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=k"
    if status:
        server.wire.answer_next(lambda exchange: True, status, "backendError", after=after)
        assert requests.post(address, data=b"x").status_code == status
    else:
        server.wire.break_next(lambda exchange: True, after=after)
        with pytest.raises(requests.ConnectionError):
            requests.post(address, data=b"x")
    assert bucket.names() == left


def test_the_wire_delays(server: servers.GcsServer, bucket: servers.GcsBucket) -> None:
    server.wire.delay = 0.1
    assert requests.get(f"{server.endpoint}/storage/v1/b/{bucket.name}").elapsed.total_seconds() >= 0.2


@pytest.mark.parametrize(("size", "kind"), [(1000, "multipart"), (20 * 1024 * 1024, "resumable")])
def test_airflow_writes_through_the_wire_and_a_condition_is_seen(
    server: servers.GcsServer, bucket: servers.GcsBucket, monkeypatch: pytest.MonkeyPatch, size: int, kind: str
) -> None:
    pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    pytest.importorskip("airflow.providers.google", reason="the Google provider is not installed")
    monkeypatch.setenv(*bucket.connection())
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    path = ObjectStoragePath(f"{bucket.url}/p/v.mp4")
    if kind == "multipart":
        path.fs.pipe_file(path.path, b"x" * size, mode="create")
    else:
        with path.fs.open(path.path, "xb", block_size=5 * 1024 * 1024) as file:
            file.write(b"x" * size)
    assert bucket.get("copies/p/v.mp4") == b"x" * size
    [upload] = server.wire.uploads()
    assert (upload.query["uploadType"], upload.generation_match) == (kind, "0")


def test_objects_can_lie_on_disk(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("disk")
    with servers.gcs(folder, on_disk=True) as server:
        server.bucket("bucket").put("k", b"x")
        assert (folder / "objects" / "bucket" / "k").read_bytes() == b"x"
