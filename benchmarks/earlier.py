"""The package as an earlier commit had it, checked out beside this one, to be measured in the same environment."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMIT = "4f03abe"
"""The commit that docs/benchmarks.md compares with."""


@contextmanager
def earlier_tree() -> Iterator[Path | None]:
    """Check the commit out until the block ends; None where there is no history to take it from."""
    with tempfile.TemporaryDirectory(prefix="iinked-bench-") as folder:
        tree = Path(folder) / COMMIT
        git = ["git", "-C", str(ROOT)]
        made = subprocess.run([*git, "worktree", "add", "--detach", tree, COMMIT], capture_output=True, check=False)
        if made.returncode:
            yield None
            return
        try:
            yield tree
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", tree], capture_output=True, check=False)
