"""The check in a process of its own: verdicts, a stop, a crash, and what that process does not get."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("av", reason="the extra 'media' is not installed")

from airflow_provider_iinked.exceptions import InvalidArgumentError, TransferError
from airflow_provider_iinked.media import check
from airflow_provider_iinked.media.check import CheckStoppedError, check_recording, examine_recording
from tests.media.samples import SECONDS, recording


@pytest.fixture
def webm(tmp_path: Path) -> str:
    path = tmp_path / "it's: a name%20.part"
    path.write_bytes(recording(".webm"))
    return str(path)


def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """Run this in the place of the process that reads."""
    (tmp_path / "stand_in.py").write_text(f"import os, signal, sys, time\n{code}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(check, "_CHILD", "stand_in")


def test_a_whole_recording_has_no_problems(webm: str) -> None:
    assert check_recording(webm, expected_duration=timedelta(seconds=SECONDS)) == []
    assert check_recording(webm, depth="decode") == []


@pytest.mark.parametrize("expected", [None, timedelta(0), timedelta(seconds=-1)])
def test_a_duration_of_nothing_is_unknown(webm: str, expected: timedelta | None) -> None:
    assert check_recording(webm, expected_duration=expected) == []


def test_another_duration_is_a_problem(webm: str) -> None:
    (problem,) = check_recording(webm, expected_duration=timedelta(seconds=60))
    assert problem == "it plays 4.0 s, the API says 60.0 s"


def test_facts_come_along(webm: str) -> None:
    assert examine_recording(webm).facts["packets_checked"] > 200


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (recording(".ts", "libx264", "aac"), "MPEG-TS cannot be checked"),
        (b"#EXTM3U\nhttp://127.0.0.1/x.ts\n", "no media container"),
        (b"", "no media container"),
    ],
    ids=["MPEG-TS", "a playlist", "nothing"],
)
def test_what_no_reader_may_open_is_refused_unread(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    (problem,) = check_recording(str(path))
    assert word in problem


def test_a_file_that_is_not_there_gives_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="cannot be read"):
        check_recording(str(tmp_path / "missing"))


def test_a_stop_ends_it_at_once(webm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, tmp_path, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    started = time.monotonic()
    with pytest.raises(CheckStoppedError):
        check_recording(webm, should_stop=(tmp_path / "pid").exists)
    assert time.monotonic() - started < 60
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text() or 1 << 22), 0)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE"])
def test_a_crash_of_ffmpeg_is_a_problem_of_the_recording(
    webm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    child(monkeypatch, tmp_path, f"sys.stdout.write('..'); sys.stdout.flush(); os.kill(os.getpid(), signal.{name})")
    assert check_recording(webm) == [f"FFmpeg crashes on it ({name})"]


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, CheckStoppedError), (signal.SIGKILL, TransferError)])
def test_a_process_that_was_killed_gives_no_verdict(
    webm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, error: type[Exception]
) -> None:
    child(monkeypatch, tmp_path, f"os.kill(os.getpid(), {int(number)})")
    with pytest.raises(error):
        check_recording(webm)


@pytest.mark.parametrize("code", ["sys.exit(3)", "print('[]')", "print('{')", "raise ImportError"])
def test_a_process_without_a_report_gives_no_verdict(
    webm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    child(monkeypatch, tmp_path, code)
    with pytest.raises(TransferError, match="could not be checked"):
        check_recording(webm)


def test_a_process_that_hangs_gives_no_verdict(webm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, tmp_path, "time.sleep(600)")
    monkeypatch.setattr(check, "_MAX_SILENCE", 0.5)
    with pytest.raises(TransferError, match="has not gone on"):
        check_recording(webm)


def test_the_process_gets_no_credentials_and_cannot_write(
    webm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SECRET", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    code = f"""
import json
from airflow_provider_iinked.media.child import _limit
_limit()
try:
    with open({str(tmp_path / "written")!r}, "w") as file: file.write("x")
    wrote = True
except OSError:
    wrote = False
print(json.dumps({{"problems": [str(wrote), *sorted(set(os.environ) - {{"LC_CTYPE"}})], "facts": {{}}}}))
"""
    child(monkeypatch, tmp_path, code)
    wrote, *names = check_recording(webm)
    assert wrote == "False"
    assert set(names) <= {*check._PASSED_ON, "PYTHONPATH"}


def test_the_process_ends_when_the_worker_dies(webm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import subprocess

    from airflow_provider_iinked.media import child as module

    code = "import threading, time, sys; from airflow_provider_iinked.media.child import _end_with_parent; "
    code += "threading.Thread(target=_end_with_parent, daemon=True).start(); time.sleep(600)"
    assert module.main
    reading = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert reading.stdin
    reading.stdin.close()
    assert reading.wait(60) == 1


def test_without_the_extra_one_sentence_says_what_to_install(webm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'airflow-provider-iinked\[media\]'.*Nothing was sent"):
        check.require_pyav()


def test_a_pyav_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "14.4.0")
    with pytest.raises(InvalidArgumentError, match=r"PyAV 15 or newer \(found: 14\.4\.0\)"):
        check.require_pyav()


def test_the_check_itself_loads_no_ffmpeg() -> None:
    import subprocess

    code = "import sys, airflow_provider_iinked.media.check; print('av' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
