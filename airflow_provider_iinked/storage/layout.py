"""
How every object of the archive is called, in both directions: names are made and read here and nowhere else. Pure.

``<destination>/<package_id>/`` holds, for each recording::

    <id>.mp4                                 the copy, with the suffix of its container
    <id>.custody.json                        its custody record
    <id>.deletion.json                       the receipt of its deletion on the platform
    <id>.erased.json                         the tombstone of a copy that was erased on purpose
    <any of these>.dsse.json                 its signature
    <any of these>.set-aside-<time>-<hex>    quarantined: it could not be relied on
    <stem>.<token>-<hex>.part                a temporary name of a run

``_hold-<hex>.json`` in a package's folder is a legal hold of it; ``<destination>/_seals/`` holds the seals::

    <number>.seal.json                       a seal
    <number>.<digest>.tsr                    its time stamp; digest of the seal
    <number>.<digest>.entries.jsonl.gz       the entries that it adds; digest of this object
    <number>.<digest>.state.jsonl.gz         the newest entry of every document; digest of this object
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from airflow_provider_iinked.storage.url import join

COPY_SUFFIXES: Final = (
    *(".mp4", ".mov", ".m4v", ".3gp", ".webm", ".mkv", ".avi", ".ogv", ".flv", ".mpg", ".ts", ".wmv", ".asf"),
    *(".3g2", ".m4a", ".ogg", ".oga", ".opus", ".mka", ".wav"),
)
"""Every suffix that a copy can have."""
SEALS_FOLDER: Final = "_seals"
VERIFICATION_LOG: Final = "_verified.json"
"""Below the destination: when each package was verified last."""
NO_RUN: Final = "adhoc"
"""Token of work that is no task of a Dag run."""

_RECORD: Final = ".custody.json"
_RECEIPT: Final = ".deletion.json"
_TOMBSTONE: Final = ".erased.json"
_ENVELOPE: Final = ".dsse.json"
_ASIDE: Final = ".set-aside-"
_PART: Final = ".part"
_MAX_NAME: Final = 255

_ID = re.compile(r"[A-Za-z0-9_-]+")
_QUARANTINED = re.compile(rf"(.+){re.escape(_ASIDE)}([0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{16}})")
HOLD_PREFIX: Final = "_hold-"
"""What the names of holds begin with, and no others."""
_HOLD = re.compile(rf"{HOLD_PREFIX}([0-9a-f]{{8}})\.json")
_TEMPORARY = re.compile(rf"(.+)\.([A-Za-z0-9]+)-([0-9a-f]{{8}}){re.escape(_PART)}")
_SEAL = re.compile(r"([0-9]{8})\.seal\.json")
_OF_A_SEAL = re.compile(r"[0-9]{8}\.(seal\.json|[0-9a-f]{64}\.(tsr|(entries|state)\.jsonl\.gz))")


class Kind(StrEnum):
    """What an object of the archive is."""

    COPY = "copy"
    RECORD = "record"
    RECEIPT = "receipt"
    TOMBSTONE = "tombstone"
    HOLD = "hold"
    TEMPORARY = "temporary"


_SUFFIXES: Final = {Kind.RECORD: _RECORD, Kind.RECEIPT: _RECEIPT, Kind.TOMBSTONE: _TOMBSTONE}
_KINDS: Final = {suffix: kind for kind, suffix in _SUFFIXES.items()}


@dataclass(frozen=True)
class Entry:
    """
    What the name of an object in a package's folder says.

    :param kind: what it is.
    :param video_id: the recording; empty for a hold and for a temporary name.
    :param suffix: of a copy, with its dot.
    :param signature: True for the DSSE envelope of such an object.
    :param quarantined: time and random digits of an object that was quarantined; empty for one that was not.
    :param stem: what a temporary name stands for.
    :param token: the run that a temporary name belongs to.
    :param nonce: random digits of a temporary name, or of a hold.
    """

    kind: Kind
    video_id: str = ""
    suffix: str = ""
    signature: bool = False
    quarantined: str = ""
    stem: str = ""
    token: str = ""
    nonce: str = ""

    @property
    def name(self) -> str:
        """The name that says this."""
        if self.kind is Kind.TEMPORARY:
            end = f".{self.token}-{self.nonce}{_PART}"
            return f"{self.stem[: _MAX_NAME - len(end)]}{end}"
        name = f"{self.video_id}{_SUFFIXES.get(self.kind, self.suffix)}"
        if self.kind is Kind.HOLD:
            name = f"{HOLD_PREFIX}{self.nonce}.json"
        name = f"{name}{_ENVELOPE}" if self.signature else name
        return f"{name}{_ASIDE}{self.quarantined}" if self.quarantined else name

    @property
    def is_current(self) -> bool:
        """True for what the archive relies on: not quarantined, not temporary, no signature."""
        return not self.quarantined and not self.signature and self.kind is not Kind.TEMPORARY


def parse(name: str) -> Entry | None:
    """
    Read a name in a package's folder.

    :param name: the name, without its path.
    :return: what it says; None when it is no name of ours.
    """
    if match := _QUARANTINED.fullmatch(name):
        inner = parse(match[1])
        fits = inner is not None and inner.kind is not Kind.TEMPORARY and not inner.quarantined
        return replace(inner, quarantined=match[2]) if inner is not None and fits else None
    if match := _TEMPORARY.fullmatch(name):
        return Entry(Kind.TEMPORARY, stem=match[1], token=match[2], nonce=match[3])
    if name.endswith(_ENVELOPE):
        inner = parse(name.removesuffix(_ENVELOPE))
        fits = inner is not None and inner.is_current
        return replace(inner, signature=True) if inner is not None and fits else None
    if match := _HOLD.fullmatch(name):
        return Entry(Kind.HOLD, nonce=match[1])
    video_id, dot, rest = name.partition(".")
    suffix = f"{dot}{rest}"
    if not _ID.fullmatch(video_id):
        return None
    if suffix in _KINDS:
        return Entry(_KINDS[suffix], video_id)
    return Entry(Kind.COPY, video_id, suffix) if suffix in COPY_SUFFIXES else None


def ids_of(names: Iterable[str], kind: Kind) -> list[str]:
    """
    Pick the recordings of which there is an object of one kind.

    :param names: the names in a package's folder.
    :param kind: what to look for; quarantined objects and signatures do not count.
    :return: ids of the recordings.
    """
    entries = map(parse, names)
    return [entry.video_id for entry in entries if entry is not None and entry.kind is kind and entry.is_current]


def copies_of(names: Iterable[str], meeting_video_id: str, *, quarantined: bool = False) -> list[str]:
    """
    Pick the objects that hold the bytes of a recording.

    :param names: the names in a package's folder.
    :param meeting_video_id: the recording.
    :param quarantined: whether quarantined ones count.
    :return: their names.
    """
    found = []
    for name in names:
        entry = parse(name)
        if entry is None or entry.kind is not Kind.COPY or entry.video_id != meeting_video_id or entry.signature:
            continue
        if quarantined or not entry.quarantined:
            found.append(name)
    return found


def holds_of(names: Iterable[str]) -> list[str]:
    """
    Pick the legal holds of a package. Quick, since a deletion asks for each recording.

    :param names: the names in the package's folder.
    :return: ids of its holds; released ones do not count.
    """
    return [match[1] for name in names if name.startswith("_") and (match := _HOLD.fullmatch(name))]


def is_package_folder(name: str) -> bool:
    """
    Tell whether a name below a destination can be a package's folder.

    :param name: the name, without its path.
    :return: False for the folder of seals, and for what is no id.
    """
    return name != SEALS_FOLDER and _ID.fullmatch(name) is not None


@dataclass(frozen=True)
class Layout:
    """
    One package's folder.

    :param folder: its URL, ``<destination>/<package_id>``.
    """

    folder: str

    @classmethod
    def of(cls, destination: str, package_id: str) -> Layout:
        """
        Name the folder of a package.

        :param destination: a checked destination.
        :param package_id: the package.
        :return: its layout.
        """
        return cls(join(destination, package_id))

    @classmethod
    def beside(cls, url: str) -> Layout:
        """
        Name the folder that an object lies in.

        :param url: the object.
        :return: its folder's layout.
        """
        return cls(folder_of(url))

    @property
    def package_id(self) -> str:
        """The package, as the folder's name says."""
        return name_of(self.folder)

    def copy(self, meeting_video_id: str, suffix: str) -> str:
        """
        Name a copy.

        :param meeting_video_id: the recording.
        :param suffix: its container's suffix, with its dot.
        :return: the copy's URL.
        """
        return join(self.folder, Entry(Kind.COPY, meeting_video_id, suffix).name)

    def record(self, meeting_video_id: str) -> str:
        """
        Name a custody record.

        :param meeting_video_id: the recording.
        :return: the record's URL.
        """
        return join(self.folder, Entry(Kind.RECORD, meeting_video_id).name)

    def receipt(self, meeting_video_id: str) -> str:
        """
        Name a deletion receipt.

        :param meeting_video_id: the recording.
        :return: the receipt's URL.
        """
        return join(self.folder, Entry(Kind.RECEIPT, meeting_video_id).name)

    def tombstone(self, meeting_video_id: str) -> str:
        """
        Name a tombstone.

        :param meeting_video_id: the recording.
        :return: the tombstone's URL.
        """
        return join(self.folder, Entry(Kind.TOMBSTONE, meeting_video_id).name)

    def hold(self, hold_id: str) -> str:
        """
        Name a legal hold of the package.

        :param hold_id: the hold, eight hexadecimal digits.
        :return: its URL.
        """
        return join(self.folder, Entry(Kind.HOLD, nonce=hold_id).name)


def signature_of(url: str) -> str:
    """
    Name the DSSE envelope of an object.

    :param url: the object.
    :return: the envelope's URL, beside it.
    """
    return f"{url}{_ENVELOPE}"


def seal_name(number: int) -> str:
    """
    Name a seal within the folder of the seals.

    :param number: its number, from 1.
    :return: its name.
    """
    return f"{number:08d}.seal.json"


def seal_number(name: str) -> int | None:
    """
    Read a seal's number out of its name.

    :param name: the name within the folder of the seals.
    :return: the number; None when it is no seal.
    """
    match = _SEAL.fullmatch(name)
    return int(match[1]) if match else None


def timestamp_name(number: int, seal_sha256: str) -> str:
    """
    Name the time stamp of a seal within the folder of the seals.

    :param number: the seal's number.
    :param seal_sha256: hex digest of the seal's bytes.
    :return: its name.
    """
    return f"{number:08d}.{seal_sha256}.tsr"


def entries_name(number: int, sha256: str) -> str:
    """
    Name the object with the entries that a seal adds.

    :param number: the seal's number.
    :param sha256: hex digest of that object's bytes.
    :return: its name within the folder of the seals.
    """
    return f"{number:08d}.{sha256}.entries.jsonl.gz"


def state_name(number: int, sha256: str) -> str:
    """
    Name the object with the newest entry of every document, as of a seal.

    :param number: the seal's number.
    :param sha256: hex digest of that object's bytes.
    :return: its name within the folder of the seals.
    """
    return f"{number:08d}.{sha256}.state.jsonl.gz"


def is_of_a_seal(name: str) -> bool:
    """
    Tell whether an object in the folder of the seals is a seal or belongs to one.

    :param name: its name.
    :return: True when it is or does.
    """
    return _OF_A_SEAL.fullmatch(name) is not None


def temporary(path: str, token: str) -> str:
    """
    Make a temporary name beside a final one; it carries the run.

    :param path: URL or path of the final name, or the stem of it.
    :param token: the run.
    :return: a name in the same folder that nobody else uses.
    """
    folder, slash, stem = path.rpartition("/")
    return f"{folder}{slash}{Entry(Kind.TEMPORARY, stem=stem, token=token, nonce=os.urandom(4).hex()).name}"


def quarantined(url: str, now: datetime) -> str:
    """
    Make the name that an object gets in quarantine.

    :param url: the object.
    :param now: the present time, in UTC.
    :return: a name in the same folder that nobody else uses.
    """
    return f"{url}{_ASIDE}{now:%Y%m%dT%H%M%SZ}-{os.urandom(8).hex()}"


def without_suffix(url: str) -> str:
    """
    Cut the last suffix off.

    :param url: an object.
    :return: its URL up to the last dot of its name.
    """
    folder, slash, name = url.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"


def folder_of(url: str) -> str:
    """
    Return the folder of an object.

    :param url: the object.
    :return: its URL without the last part.
    """
    return url.rpartition("/")[0]


def name_of(url: str) -> str:
    """
    Return the name of an object.

    :param url: the object.
    :return: the last part of its URL.
    """
    return url.rpartition("/")[2]
