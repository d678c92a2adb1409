"""
Check a recording that lies in a file: can a player play it to its end?

FFmpeg reads it in a process of its own (docs/decisions/0011-ffmpeg-in-a-process-of-its-own.md), so that a file which
crashes or hangs FFmpeg harms no worker, and so that a stop takes effect at once.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import IO, Any, Final

from airflow_provider_iinked.exceptions import InvalidArgumentError, TransferError
from airflow_provider_iinked.media.container import SNIFF_SIZE, SUFFIXES, container_of, container_suffix
from airflow_provider_iinked.media.report import Depth, Report

_CHILD: Final = "airflow_provider_iinked.media.child"
_LEAST_PYAV: Final = 15
_POLL: Final = 0.1
_MAX_SILENCE: Final = 300.0
_LONGEST_ANSWER: Final = 1 << 20
_STOPPED_BY: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "TZ")


class CheckStoppedError(Exception):
    """The check was asked to stop before it had come to a verdict. Nothing is known of the recording."""


def require_pyav() -> None:
    """
    See that FFmpeg can be used, without loading it.

    :raises InvalidArgumentError: when PyAV is not installed, or too old.
    """
    try:
        found = importlib.util.find_spec("av") is not None
        version = importlib.metadata.version("av")
    except (ValueError, importlib.metadata.PackageNotFoundError):  # ValueError: a module that was put aside
        found, version = False, ""
    if not found or int(version.partition(".")[0]) < _LEAST_PYAV:
        raise InvalidArgumentError(
            f"check_media needs PyAV {_LEAST_PYAV} or newer (found: {version or 'none'}): "
            "pip install 'airflow-provider-iinked[media]' on the workers. Nothing was sent."
        )


def check_recording(
    path: str,
    *,
    depth: Depth = "packets",
    expected_duration: timedelta | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[str]:
    """
    Say what is wrong with a recording.

    :param path: the file, whole and closed.
    :param depth: ``packets`` reads every packet, ``decode`` decodes every frame as well.
    :param expected_duration: play length as the API tells it; None, zero or less: unknown.
    :param should_stop: asked ten times a second; when it says True the check ends.
    :return: problems in plain words; none when a player can play it to its end.
    :raises InvalidArgumentError: when PyAV is not installed.
    :raises CheckStoppedError: when it was stopped.
    :raises TransferError: when no verdict was reached: the file cannot be read, FFmpeg hangs or was killed.
    """
    return examine_recording(path, depth=depth, expected_duration=expected_duration, should_stop=should_stop).problems


def examine_recording(
    path: str,
    *,
    depth: Depth = "packets",
    expected_duration: timedelta | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Report:
    """
    Do the same as :func:`check_recording`, and say what was seen.

    :param path: the file, whole and closed.
    :param depth: ``packets`` or ``decode``.
    :param expected_duration: play length as the API tells it; None, zero or less: unknown.
    :param should_stop: asked ten times a second; when it says True the check ends.
    :return: problems, and facts for the custody record.
    :raises InvalidArgumentError: when PyAV is not installed.
    :raises CheckStoppedError: when it was stopped.
    :raises TransferError: when no verdict was reached.
    """
    require_pyav()
    try:
        with open(path, "rb") as file:
            suffix = container_suffix(file.read(SNIFF_SIZE))
    except OSError as error:
        raise TransferError(f"The recording cannot be read to check it: {error.strerror}.") from None
    problem = unchecked_problem(suffix)
    if suffix is None or problem:
        return Report([problem or ""])
    seconds = expected_duration.total_seconds() if expected_duration is not None else 0.0
    expected = str(seconds) if seconds > 0 else ""
    demuxer = container_of(suffix).demuxer or ""
    return _run([os.path.abspath(path), demuxer, depth, expected], should_stop)


def unchecked_problem(suffix: str | None) -> str | None:
    """
    Say why a container cannot be checked.

    :param suffix: what :func:`container_suffix` found; None when it found none.
    :return: the problem; None for a container that can be checked.
    """
    if suffix is None:
        return f"it is no media container that is known ({', '.join(SUFFIXES)})"
    container = container_of(suffix)
    if container.demuxer:
        return None
    return f"{container.title} cannot be checked; set check_media=False to copy it all the same"


def _run(arguments: list[str], should_stop: Callable[[], bool] | None) -> Report:
    # Its own search path and nothing else of the environment, which may hold keys.
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    with subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-P", "-m", _CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # FFmpeg's words may name the file, and can be many
        env=environment,
        cwd="/",
    ) as child:
        try:
            output = _read(child.stdout, should_stop) if child.stdout else b""
        except BaseException:
            child.kill()
            raise
        code = child.wait()
    return _understand(output, code)


def _read(stream: IO[bytes], should_stop: Callable[[], bool] | None) -> bytes:
    output, heard = bytearray(), time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if should_stop is not None and should_stop():
                raise CheckStoppedError("The check of a recording was stopped before it had come to a verdict.")
            if selector.select(_POLL):
                data = os.read(stream.fileno(), 1 << 16)
                if not data:
                    return bytes(output)
                heard = time.monotonic()
                output += data.lstrip(b".")
            if time.monotonic() - heard > _MAX_SILENCE or len(output) > _LONGEST_ANSWER:
                raise TransferError(
                    f"The recording could not be checked: FFmpeg has not gone on for {_MAX_SILENCE:.0f} s. "
                    "Nothing was published."
                )


def _understand(output: bytes, code: int) -> Report:
    try:
        answer: Any = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return _crashed(code)
    if "error" in answer:
        raise TransferError(f"The recording could not be checked: {answer['error']}. Nothing was published.")
    return Report(list(answer["problems"]), dict(answer["facts"]))


def _crashed(code: int) -> Report:
    if code < 0 and -code in _STOPPED_BY:
        raise CheckStoppedError("The check of a recording was stopped before it had come to a verdict.")
    if code < 0 and -code != signal.SIGKILL:
        return Report([f"FFmpeg crashes on it ({signal.Signals(-code).name})"])
    how = "was killed, perhaps for want of memory" if code < 0 else f"ended with code {code} and no report"
    raise TransferError(
        f"The recording could not be checked: its process {how}. Nothing was published; a retry may help."
    )
