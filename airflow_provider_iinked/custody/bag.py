"""
Making a folder a BagIt 1.0 bag (RFC 8493).

The ``bagit`` library (1.9) writes version 0.97 and changes the process's working folder, which other threads share; so
the four small files are written here, and the library's own ``--validate`` checks them in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_iinked.custody.entries import sha256_of_file


def complete_bag(bag: Path, info: Mapping[str, str]) -> None:
    """
    Write the tag files of a bag whose payload lies in ``data`` already.

    :param bag: the bag's folder. Names below it hold no line ends and no ``%``.
    :param info: what ``bag-info.txt`` says besides date and size; values of one line.
    """
    payload = sorted(path for path in (bag / "data").rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in payload)
    fields = {
        **info,
        "Bagging-Date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Payload-Oxum": f"{size}.{len(payload)}",
    }
    _write(bag / "bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    _write(bag / "bag-info.txt", "".join(f"{name}: {' '.join(value.split())}\n" for name, value in fields.items()))
    _write(bag / "manifest-sha256.txt", _manifest(bag, payload))
    tags = [bag / name for name in ("bag-info.txt", "bagit.txt", "manifest-sha256.txt")]
    _write(bag / "tagmanifest-sha256.txt", _manifest(bag, tags))


def _manifest(bag: Path, files: list[Path]) -> str:
    return "".join(f"{sha256_of_file(path)}  {path.relative_to(bag).as_posix()}\n" for path in files)


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))
