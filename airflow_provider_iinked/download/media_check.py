"""
Checking that a recording plays to its end before its copy is published.

FFmpeg reads a file: on a local destination the unpublished one, else a spool file on the worker, written beside the
uploads and removed in every end. A run that was killed leaves one behind; the next run removes it.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Protocol

from airflow_provider_iinked.arguments import DECODE
from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError, TransferError, reason_of
from airflow_provider_iinked.media.check import CheckStoppedError, examine_recording, unchecked_problem
from airflow_provider_iinked.storage.local import open_locked, remove_if_abandoned, write_all

log = logging.getLogger(__name__)

_SPOOL: Final = re.compile(r"iinked-media-[0-9a-f]{16}\.spool")
_SETTLED_AFTER: Final = 5.0
"""Seconds after which a spool file that no process holds is a dead run's."""


class RecordingCheck(Protocol):
    """Checks one recording while its bytes go by, and once it is whole."""

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes.

        :param data: the bytes.
        """

    def finish(self) -> dict[str, Any]:
        """
        Check the whole recording.

        :return: facts for the custody record.
        :raises TransferError: when it does not play to its end, or no verdict was reached.
        """

    def discard(self) -> None:
        """Leave nothing behind. May be called again."""


class MediaExaminer:
    """
    Examines recordings that are files.

    :param depth: True to read every packet, ``"decode"`` to decode every frame as well.
    :param spool_dir: where spool files go; None for the system's folder of temporary files.
    :param should_stop: says when the task is to end.
    """

    def __init__(self, depth: bool | str, spool_dir: str | None, should_stop: Callable[[], bool]) -> None:
        self._depth = depth
        self._should_stop = should_stop
        self.spool_dir = spool_dir or tempfile.gettempdir()

    def prepare(self) -> None:
        """
        Check the spool folder, and remove what killed runs left there.

        :raises InvalidArgumentError: when it is no folder that can be written to.
        """
        if not os.path.isdir(self.spool_dir) or not os.access(self.spool_dir, os.W_OK | os.X_OK):
            raise InvalidArgumentError(
                f"media_spool_dir {self.spool_dir!r} is no folder that this worker can write to. Nothing was sent. "
                "Make it, or name another one."
            )
        remove_stale_spool_files(self.spool_dir)

    def spooled(self, suffix: str, duration: timedelta | None) -> RecordingCheck:
        """
        Begin the check of a recording that goes through a spool file.

        :param suffix: its container's suffix.
        :param duration: its play length, as the API gives it.
        :return: the check.
        :raises TransferError: when its container cannot be checked.
        :raises StorageError: when there is no spool file to be had.
        """
        _require_checkable(suffix)
        return _SpooledCheck(self, duration)

    def in_place(self, suffix: str, duration: timedelta | None, path: Callable[[], str | None]) -> RecordingCheck:
        """
        Begin the check of a recording whose unpublished copy is a file of this worker.

        :param suffix: its container's suffix.
        :param duration: its play length, as the API gives it.
        :param path: names that file once it is whole; None when there is none.
        :return: the check.
        :raises TransferError: when its container cannot be checked.
        """
        _require_checkable(suffix)
        return _InPlaceCheck(self, duration, path)

    def examine(self, path: str, duration: timedelta | None) -> dict[str, Any]:
        """
        Examine a whole recording.

        :param path: the file.
        :param duration: its play length, as the API gives it.
        :return: facts for the custody record.
        :raises TransferError: when it does not play to its end, or no verdict was reached.
        """
        try:
            report = examine_recording(
                path,
                depth="decode" if self._depth == DECODE else "packets",
                expected_duration=duration,
                should_stop=self._should_stop,
            )
        except CheckStoppedError:
            raise TransferError("The media check was stopped; nothing was published.") from None
        if report.problems:
            raise TransferError(
                f"The recording does not play as it should: {'; '.join(report.problems)}; nothing was published."
            )
        return report.facts


class _SpooledCheck:
    def __init__(self, examiner: MediaExaminer, duration: timedelta | None) -> None:
        self._examiner = examiner
        self._duration = duration
        self._path = os.path.join(examiner.spool_dir, f"iinked-media-{os.urandom(8).hex()}.spool")
        try:
            self._handle: int | None = open_locked(self._path)
        except OSError as error:
            raise self._failed(error) from None

    def feed(self, data: bytes) -> None:
        if self._handle is None:
            raise TransferError("The media check has ended; nothing was published.")
        try:
            write_all(self._handle, data)
        except OSError as error:
            raise self._failed(error) from None

    def finish(self) -> dict[str, Any]:
        return self._examiner.examine(self._path, self._duration)

    def discard(self) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("The spool file %s could not be removed (%s).", self._path, reason_of(error))
        finally:
            os.close(handle)

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"The recording could not be spooled to {self._examiner.spool_dir} ({reason_of(error)}); nothing was "
            "published. Set media_spool_dir to a folder with room for max_parallel recordings"
        )


class _InPlaceCheck:
    def __init__(self, examiner: MediaExaminer, duration: timedelta | None, path: Callable[[], str | None]) -> None:
        self._examiner = examiner
        self._duration = duration
        self._path = path

    def feed(self, data: bytes) -> None:
        """The unpublished copy itself serves."""

    def finish(self) -> dict[str, Any]:
        path = self._path()
        if path is None:
            raise TransferError("The recording could not be checked: its file is gone; nothing was published.")
        return self._examiner.examine(path, self._duration)

    def discard(self) -> None:
        """The copy is discarded by whoever writes it."""


def remove_stale_spool_files(folder: str) -> None:
    """
    Remove the spool files of killed runs. One that a living process holds stays, whatever its age.

    :param folder: the spool folder.
    """
    for name in os.listdir(folder):
        if not _SPOOL.fullmatch(name):
            continue
        path = os.path.join(folder, name)
        try:
            # A file is locked a moment after it was made.
            if time.time() - os.stat(path).st_mtime > _SETTLED_AFTER:
                remove_if_abandoned(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("The spool file %s of an earlier run could not be removed (%s).", path, reason_of(error))


def _require_checkable(suffix: str) -> None:
    if problem := unchecked_problem(suffix):
        raise TransferError(f"Whether the recording plays cannot be checked: {problem}; nothing was published.")
