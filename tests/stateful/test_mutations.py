"""Each rule that `make test-mutations` breaks still stands where it is looked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.stateful.mutations import MUTATIONS, PACKAGE, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_rule_that_is_to_be_broken_stands_there_once(mutation: Mutation, tmp_path: Path) -> None:
    path = tmp_path / mutation.module
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / PACKAGE / mutation.module, path)
    mutation.apply(tmp_path)
    assert mutation.broken in path.read_text()
    compile(path.read_text(), mutation.module, "exec")
