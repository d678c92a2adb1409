"""The worker's disk, and disks that cannot do all that a disk can."""

from __future__ import annotations

import errno
import logging
import os

import pytest

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage import local, open_store


@pytest.fixture
def store(tmp_path):
    return open_store(f"file://{tmp_path}")


@pytest.fixture
def failing(monkeypatch):
    """Let a call of the operating system fail."""

    def fail(name, number, only=lambda *arguments: True):
        really = getattr(os, name)

        def call(*arguments, **options):
            if only(*arguments):
                raise OSError(number, os.strerror(number))
            return really(*arguments, **options)

        monkeypatch.setattr(local.os, name, call)

    return fail


def upload(store, tmp_path, data=b"bytes"):
    started = store.upload(f"file://{tmp_path}/v.mp4", len(data))
    started.write(data)
    return started


def is_folder(handle):
    return os.path.isdir(f"/proc/self/fd/{handle}")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP], ids=errno.errorcode.get)
def test_a_disk_that_cannot_sync_a_folder_is_noted_and_used(store, tmp_path, failing, caplog, number):
    failing("fsync", number, is_folder)
    caplog.set_level(logging.INFO)

    store.replace_json(f"file://{tmp_path}/v.deletion.json", {}, durable=True)

    assert "cannot sync a folder" in caplog.text
    store.fsync(f"file://{tmp_path}/v.deletion.json")


def test_a_disk_that_fails_to_sync_a_folder_is_an_error(store, tmp_path, failing):
    failing("fsync", errno.EIO, is_folder)

    with pytest.raises(StorageError, match="Input/output error"):
        store.replace_json(f"file://{tmp_path}/v.deletion.json", {}, durable=True)


@pytest.mark.parametrize(
    "number", [errno.EPERM, errno.ENOTSUP, errno.EACCES, errno.EINVAL, errno.EXDEV], ids=errno.errorcode.get
)
def test_without_hard_links_a_copy_is_published_and_never_over_another(store, tmp_path, failing, number):
    failing("link", number)
    first, second = upload(store, tmp_path, b"first"), upload(store, tmp_path, b"second")
    assert first.publish().size == 5
    with pytest.raises(FileExistsError):
        second.publish()
    second.discard()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"v.mp4": b"first"}


def test_a_temporary_file_that_cannot_be_removed_is_a_warning_and_the_copy_is_published(
    store, tmp_path, failing, caplog
):
    failing("unlink", errno.EACCES)
    started = upload(store, tmp_path)

    assert started.publish().size == 5
    assert "Left the temporary file" in caplog.text
    assert (tmp_path / "v.mp4").read_bytes() == b"bytes"


def test_a_clean_up_that_fails_hides_no_error_and_raises_none(store, tmp_path, failing, caplog):
    started = upload(store, tmp_path)
    failing("close", errno.EIO)

    started.discard()

    assert "Could not clean up after the upload" in caplog.text


def test_stale_names_that_cannot_be_removed_are_warnings_and_neighbours_go(store, tmp_path, failing, caplog):
    for name in ("a.adhoc-00000000.part", "b.adhoc-00000000.part"):
        (tmp_path / name).write_bytes(b"x")
    failing("unlink", errno.EACCES, lambda path, *_: "a.adhoc" in str(path))

    store.remove_stale(f"file://{tmp_path}")

    assert [path.name for path in tmp_path.iterdir()] == ["a.adhoc-00000000.part"]
    assert "a.adhoc-00000000.part" in caplog.text


@pytest.mark.parametrize("name", ["film.part", "v.mp4.part", "v.adhoc-1.part", "notes.adhoc-00000000.part.txt"])
def test_a_file_of_someone_else_is_never_taken_for_a_stale_one(store, tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / name, (0, 0))

    store.remove_stale(f"file://{tmp_path}")

    assert (tmp_path / name).exists()


def test_what_an_upload_says_about_the_copy_is_what_a_look_says(store, tmp_path):
    assert upload(store, tmp_path).publish() == store.info(f"file://{tmp_path}/v.mp4")
