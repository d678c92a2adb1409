"""
A seal: what an archive held at a moment, signed, and chained to the seal before. Pure.

The file ``_seals/00000001.seal.json`` is a DSSE envelope over an in-toto statement whose predicate is the seal; so a
seal and its signature come to be in one act. docs/formats.md describes it field by field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_iinked.custody.archive_paths import entries_path, state_path
from airflow_provider_iinked.custody.entries import is_sha256
from airflow_provider_iinked.custody.errors import SealError
from airflow_provider_iinked.custody.keys import PublicKey, SigningKey
from airflow_provider_iinked.custody.merkle import Frontier
from airflow_provider_iinked.custody.statement import (
    SEAL_TYPE,
    is_time,
    read_statement,
    sign_statement,
)

FORMAT: Final = 1
RFC3161: Final = "rfc3161"


@dataclass(frozen=True)
class EntriesFile:
    """
    A file of entries.

    :param path: its path below the destination.
    :param sha256: hex digest of its bytes, as stored.
    :param count: how many entries it holds.
    """

    path: str
    sha256: str
    count: int


@dataclass(frozen=True)
class Seal:
    """
    A seal.

    :param number: from 1, without gaps.
    :param previous: hex digest of the file of the seal before; None for the first.
    :param time: when the sealer began to read the archive.
    :param frontier: the Merkle tree over all entries of this seal and those before.
    :param entries: the entries that this seal adds.
    :param changes: how many of them were ``added``, ``changed``, ``revalidated``; and ``erased``: tombstones of erased
        copies among them.
    :param state: a file with the newest entry of every path; None in most seals.
    :param documents: how many paths have an entry.
    :param differences: how many differences the sealer saw; what differs is not sealed, its old entry stays.
    :param timestamped: whether a time stamp (RFC 3161) of this seal must lie beside it.
    """

    number: int
    previous: str | None
    time: str
    frontier: Frontier
    entries: EntriesFile
    changes: Mapping[str, int]
    state: EntriesFile | None
    documents: int
    differences: int
    timestamped: bool

    def predicate(self) -> dict[str, Any]:
        """Return the seal ready for JSON."""
        return {
            "format": FORMAT,
            "number": self.number,
            "previous": self.previous,
            "time": self.time,
            "tree": {
                "size": self.frontier.size,
                "root": self.frontier.root.hex(),
                "frontier": [item.hex() for item in self.frontier.hashes],
            },
            "entries": _file_json(self.entries),
            "changes": dict(self.changes),
            "state": _file_json(self.state) if self.state else None,
            "documents": self.documents,
            "differences": self.differences,
            "timestamp": RFC3161 if self.timestamped else None,
        }


def sign_seal(seal: Seal, key: SigningKey) -> bytes:
    """
    Sign a seal.

    :param seal: the seal.
    :param key: the key.
    :return: the bytes of its file.
    """
    files = [file for file in (seal.entries, seal.state) if file]
    return sign_statement({file.path: file.sha256 for file in files}, SEAL_TYPE, seal.predicate(), key)


def read_seal(data: bytes, keys: Sequence[PublicKey]) -> tuple[Seal, PublicKey]:
    """
    Verify a seal's signature and read it.

    :param data: the bytes of its file.
    :param keys: the trusted keys.
    :return: the seal and who signed it.
    :raises EnvelopeError: when no trusted key signed it, or it is another kind of statement.
    :raises SealError: when it is malformed.
    """
    statement = read_statement(data, SEAL_TYPE, keys)
    seal = _parse(statement.predicate)
    files = [file for file in (seal.entries, seal.state) if file]
    if dict(statement.subjects) != {file.path: file.sha256 for file in files}:
        raise SealError("The subjects of a seal's statement are not its files.")
    return seal, statement.key


def _parse(value: Mapping[str, Any]) -> Seal:
    if value.get("format") != FORMAT or isinstance(value.get("format"), bool):
        raise SealError(f"The seal's format {value.get('format')!r} is not known (known: {FORMAT}).")
    try:
        tree, number, state = value["tree"], _count(value["number"]), value["state"]
        frontier = Frontier(_count(tree["size"]), [bytes.fromhex(_sha256(item)) for item in tree["frontier"]])
        seal = Seal(
            number=number,
            previous=None if value["previous"] is None else _sha256(value["previous"]),
            time=value["time"],
            frontier=frontier,
            entries=_file(value["entries"]),
            changes={str(name): _count(count) for name, count in value["changes"].items()},
            state=None if state is None else _file(state),
            documents=_count(value["documents"]),
            differences=_count(value["differences"]),
            timestamped=value["timestamp"] == RFC3161,
        )
        usable = (
            number > 0
            and (seal.previous is None) == (number == 1)
            and is_time(seal.time)
            and tree["root"] == frontier.root.hex()
            and value["timestamp"] in (None, RFC3161)
            and seal.entries.path == entries_path(number, seal.entries.sha256)
            and (seal.state is None or seal.state.path == state_path(number, seal.state.sha256))
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        usable = False
    if not usable:
        raise SealError("The seal is malformed.")
    return seal


def _file_json(file: EntriesFile) -> dict[str, Any]:
    return {"path": file.path, "sha256": file.sha256, "count": file.count}


def _file(value: Mapping[str, Any]) -> EntriesFile:
    return EntriesFile(value["path"], _sha256(value["sha256"]), _count(value["count"]))


def _sha256(value: Any) -> str:
    if not is_sha256(value):
        raise ValueError("not a digest")
    return str(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a count")
    return value
