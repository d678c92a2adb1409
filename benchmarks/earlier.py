"""An earlier commit, checked out into a temporary worktree, to be measured beside what is here."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMIT = "4f03abe"
HERE = Path(__file__).resolve().parents[1]


@contextmanager
def earlier_commit(commit: str = COMMIT) -> Iterator[Path]:
    """
    Check a commit out for as long as the block runs; needs the repository's history.

    :param commit: which.
    :return: its folder: a process that is started there imports its package.
    """
    with tempfile.TemporaryDirectory(prefix="iinked-earlier-") as folder:
        target = Path(folder) / commit
        _git("worktree", "add", "--quiet", "--detach", str(target), commit)
        try:
            yield target
        finally:
            _git("worktree", "remove", "--force", str(target))


def _git(*words: str) -> None:
    subprocess.run(["git", "-C", str(HERE), *words], check=True)
