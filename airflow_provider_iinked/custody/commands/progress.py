"""How far a command is: a bar on a terminal, by rich where it is installed, and nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from airflow_provider_iinked.custody.archive_files import Archive, FileInfo

Advance = Callable[[], None]


@contextlib.contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Advance]:
    """
    Show a bar on the terminal while something is done.

    :param what: what is counted, such as ``packages``.
    :param total: how many there are; None where that is not known.
    :return: call it once for each that is done; from any thread.
    """
    if not sys.stderr.isatty():
        yield _nothing
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield _nothing
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # What is printed goes above the bar, where both are on one terminal.
    redirect = sys.stdout.isatty()
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, redirect_stdout=redirect, redirect_stderr=False) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _nothing() -> None:
    return


class WatchedArchive:
    """
    An archive that says whenever a package's folder is looked at.

    :param archive: the archive.
    :param advance: called for each folder.
    """

    def __init__(self, archive: Archive, advance: Advance) -> None:
        self._archive = archive
        self._advance = advance

    def folders(self) -> list[str]:
        """List the names of the folders below the destination, sorted."""
        return self._archive.folders()

    def files(self, folder: str) -> list[FileInfo]:
        """
        List the files of a folder.

        :param folder: its name.
        :return: them, sorted by name.
        """
        found = self._archive.files(folder)
        self._advance()
        return found

    def open(self, path: str) -> BinaryIO:
        """
        Open a file for reading.

        :param path: its path.
        :return: its bytes.
        :raises FileNotFoundError: when there is none.
        """
        return self._archive.open(path)

    def create(self, path: str, source: BinaryIO) -> bool:
        """
        Write a file unless one of that name is there.

        :param path: its path.
        :param source: its bytes.
        :return: False when the name was taken.
        """
        return self._archive.create(path, source)


@contextlib.contextmanager
def watched(archive: Archive, packages: int | None = None) -> Iterator[Archive]:
    """
    Show how many packages of an archive have been looked at.

    :param archive: the archive.
    :param packages: how many will be; None for all.
    :return: the archive to use meanwhile.
    """
    if not sys.stderr.isatty():
        yield archive
        return
    with progress_bar("packages", packages if packages is not None else len(archive.folders())) as advance:
        yield WatchedArchive(archive, advance)
