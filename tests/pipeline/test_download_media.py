"""check_media: what a player cannot play to its end is never published; the spool file is gone in every end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from airflow_provider_iinked.download import media_check
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError, StorageError, TransferError
from airflow_provider_iinked.media.container import SUFFIXES
from airflow_provider_iinked.simulator import Fault
from airflow_provider_iinked.storage.layout import Kind, parse

pytest.importorskip("av")


@pytest.fixture
def spool(tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture(params=["in place", "spooled"])
def checked(request, chain, spool, monkeypatch):
    """Download with the check: where the unpublished file itself serves, and where the bytes are spooled."""
    from airflow_provider_iinked.storage.local import LocalStore

    if request.param == "spooled":
        monkeypatch.setattr(LocalStore, "on_worker_disk", False)

    def download(package_id, **arguments):
        arguments = {"check_media": True, "media_spool_dir": str(spool), **arguments}
        try:
            return chain.download(package_id, **arguments)
        finally:
            assert list(spool.iterdir()) == []

    return download


def spoil(chain, package, video, kept):
    """Cut a recording and pad it with zeros: its length stays."""
    content = chain.sim.video(package, video).content
    content._head = content._head[:kept] + bytes(len(content._head) - kept)
    content._sha256 = None


@pytest.mark.parametrize("container", ["mp4", "webm"])
@pytest.mark.parametrize("depth", [True, "decode"])
def test_a_copy_that_plays_is_published_and_its_record_says_so(chain, checked, container, depth):
    package, (video,) = chain.package({"container": container, "size": 500_000, "duration": 90})
    (copy,) = checked(package, check_media=depth)
    record = json.loads(chain.path(package, f"{video}.custody.json").read_text())
    assert record["media"]["duration"] == pytest.approx(90, abs=8)  # a live file ends with its last packet
    assert record["media"]["packets_checked"] > 0
    assert copy["size"] == 500_000


@pytest.mark.parametrize("container", ["mp4", "webm"])
@pytest.mark.parametrize("cut", [700, 2000, 3500])
def test_a_recording_that_was_cut_and_padded_is_refused_and_its_neighbour_copied(chain, checked, container, cut):
    package, (bad, good) = chain.package({"container": container}, {"container": container})
    spoil(chain, package, bad, cut)
    with pytest.raises(TransferError, match=bad):
        checked(package)
    assert [name.partition(".")[0] for name in chain.names(package)] == [good, good]
    assert len(chain.download(package)) == 2  # nothing but the check stood in its way


def test_a_recording_of_another_length_is_refused(chain, checked):
    package, (video,) = chain.package({"duration": 60})
    chain.sim.set_fields(package, video, duration="PT2M")
    with pytest.raises(TransferError, match="does not play as it should"):
        checked(package)
    assert chain.names(package) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_that_breaks_off_goes_on_or_starts_over_with_its_check(chain, checked, ranges):
    package, _ = chain.package({"size": 5_000_000, "duration": 90})
    chain.sim.quirks.accept_ranges = ranges
    chain.sim.faults.add(Fault(call="recording", kind="cut", after=2_000_000))
    (copy,) = checked(package)
    assert copy["size"] == 5_000_000


def test_a_download_that_fails_leaves_no_spool_file(chain, checked):
    package, _ = chain.package("v")
    chain.sim.faults.add(Fault(call="recording", kind="cut", after=50_000))
    chain.sim.faults.add(Fault(call="recording", kind="status", status=451, on=range(2, 9)))
    with pytest.raises(TransferError):
        checked(package)
    assert chain.names(package) == []


def test_a_check_that_is_stopped_ends_at_once_and_leaves_nothing(chain, spool, monkeypatch):
    from airflow_provider_iinked.media.check import CheckStoppedError
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    chain.package("v", package_id="p")
    operator = IinkedDownloadVideosOperator(
        task_id="x", package_id="p", destination=chain.destination, check_media=True, media_spool_dir=str(spool)
    )

    def long(path, *, should_stop, **options):
        operator.on_kill()
        assert should_stop()
        raise CheckStoppedError

    monkeypatch.setattr(media_check, "examine_recording", long)
    with pytest.raises(IinkedSignError, match="stopped"):
        operator.execute({})
    assert chain.names("p") == list(spool.iterdir()) == []


def test_a_spool_folder_that_is_full_is_an_error_of_storage_that_names_it(chain, spool, monkeypatch):
    from airflow_provider_iinked.storage.local import LocalStore

    def full(handle, data):
        raise OSError(28, "no")

    monkeypatch.setattr(LocalStore, "on_worker_disk", False)
    monkeypatch.setattr(media_check, "write_all", full)
    chain.package("v", package_id="p")
    with pytest.raises(StorageError, match=f"spooled to {spool}.*No space left.*media_spool_dir"):
        chain.download("p", check_media=True, media_spool_dir=str(spool))
    assert chain.names("p") == list(spool.iterdir()) == []


@pytest.mark.parametrize("folder", ["/no/such/folder", "relative", 7, ""])
def test_a_spool_folder_that_cannot_be_used_is_refused_before_any_request(chain, folder):
    with pytest.raises(InvalidArgumentError, match="media_spool_dir"):
        chain.download("p", check_media=True, media_spool_dir=folder)
    assert chain.ledger.requests() == []


def test_spool_files_of_killed_runs_are_removed_by_the_next_run_and_living_ones_stay(chain, spool):
    """One process holds its spool file, another one was killed while it held one."""
    code = textwrap.dedent(
        """
        import sys, time
        from airflow_provider_iinked.download.media_check import MediaExaminer
        check = MediaExaminer(True, sys.argv[1], lambda: False).spooled(".mp4", None)
        check.feed(b"x" * 1000)
        print("spooled", flush=True)
        time.sleep(60)
        """
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(spool)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        names = []
        for process in running:
            assert process.stdout.readline() == "spooled\n"
            names.append(({path.name for path in spool.iterdir()} - set(names)).pop())
        (spool / "somebody-elses.spool").write_text("x")
        for path in spool.iterdir():
            os.utime(path, (time.time() - 60, time.time() - 60))
        running[0].send_signal(signal.SIGKILL)
        running[0].wait()
        chain.package("v", package_id="p")
        chain.download("p", check_media=True, media_spool_dir=str(spool))
        assert len(list(spool.glob("iinked-media-*"))) == 1
        assert (spool / "somebody-elses.spool").exists()
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_without_the_extra_nothing_is_sent(chain, monkeypatch):
    package, _ = chain.package("v")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InvalidArgumentError, match=r"airflow-provider-iinked\[media\]"):
        chain.download(package, check_media=True)
    assert chain.ledger.requests() == []


def test_ffmpeg_is_loaded_only_when_it_is_used():
    code = "import sys, airflow_provider_iinked.download.workflow; print('av' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("value", ["True", None, 1, "packets"])
def test_check_media_must_be_true_false_or_decode(chain, value):
    with pytest.raises(InvalidArgumentError, match="check_media"):
        chain.download("some-package", check_media=value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_container_has_a_name_in_the_archive(suffix):
    entry = parse(f"v{suffix}")
    assert entry is not None
    assert (entry.kind, entry.video_id, entry.suffix) == (Kind.COPY, "v", suffix)
