"""
What passes from one process to another is text. Airflow's path objects lose their connection when they are pickled.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_provider_iinked"
PICKLE = ("pickle", "cloudpickle", "dill", "copyreg", "shelve", "multiprocessing", "concurrent.futures.process")
STARTS = ("subprocess", "pty", "asyncio.subprocess")


def imports() -> Iterator[tuple[str, str]]:
    """Each module of ours, and each name that it imports, with what it takes out of it."""
    for path in PACKAGE.rglob("*.py"):
        if "simulator" in path.relative_to(PACKAGE).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((str(path.relative_to(PACKAGE)), alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    yield str(path.relative_to(PACKAGE)), f"{node.module}.{alias.name}"


def users(names: tuple[str, ...]) -> set[str]:
    return {module for module, name in imports() if any(name == one or name.startswith(f"{one}.") for one in names)}


def test_nothing_of_ours_pickles() -> None:
    assert users(PICKLE) == set()
    assert users(("concurrent.futures.ProcessPoolExecutor",)) == set()


def test_the_check_of_media_alone_starts_a_process_and_gives_it_words() -> None:
    assert users(STARTS) == {"media/check.py"}
    arguments = [
        node.args[0]
        for node in ast.walk(ast.parse((PACKAGE / "media/check.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_run"
    ]
    assert [ast.unparse(one) for one in arguments] == ["[os.path.abspath(path), demuxer, depth, expected]"]


def test_a_path_object_is_neither_pickled_nor_handed_on_in_a_whole_chain(
    chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    def refuse(self: Any, *_: Any) -> Any:
        raise AssertionError("a path was pickled or copied")

    for name in ("__reduce__", "__reduce_ex__", "__copy__", "__deepcopy__"):
        monkeypatch.setattr(ObjectStoragePath, name, refuse, raising=False)
    package, videos = chain.package({}, {})
    copies = chain.download(package, check_media=True)
    assert [type(value) for copy in copies for value in copy.values() if not isinstance(value, (str, int))] == []
    deleted = chain.delete(verified_copies=json.loads(json.dumps(copies)))
    assert sorted(video["meetingVideoId"] for video in deleted["videos"]) == sorted(videos)
