"""
Exporting an archive, or some packages of it, as a bundle that others can check: a BagIt bag.

The bundle's own files are verified after they were written, so that what it says of itself holds for the bytes in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.custody.account import (
    CERTIFICATION,
    CHECK_SIGNATURES,
    HOW_TO_CHECK,
    describe_result,
    write_account,
)
from airflow_provider_iinked.custody.archive_files import CHUNK, ArchiveReader, LocalArchive
from airflow_provider_iinked.custody.archive_paths import (
    SEALS,
    Kind,
    is_package_folder,
    parse_name,
    seal_number,
    sort_key,
)
from airflow_provider_iinked.custody.audit import AuditOptions, AuditResult, audit_archive
from airflow_provider_iinked.custody.bag import complete_bag
from airflow_provider_iinked.custody.chain import load_seal
from airflow_provider_iinked.custody.dsse import signatures_of
from airflow_provider_iinked.custody.entries import read_entries
from airflow_provider_iinked.custody.errors import EnvelopeError, SealError
from airflow_provider_iinked.custody.keys import PublicKey
from airflow_provider_iinked.custody.merkle import Tree, leaf_hash
from airflow_provider_iinked.custody.recordings import read_recordings
from airflow_provider_iinked.custody.statement import canonical_json, format_time
from airflow_provider_iinked.storage.layout import holds_of, is_of_a_seal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@dataclass(frozen=True)
class BundleOptions:
    """
    What goes into a bundle.

    :param packages: only these packages, without naming others; None for the whole archive.
    :param tsa_certificates: certificates of the time stamp authorities.
    :param expected_seal: hex digest of a seal that was kept elsewhere.
    :param max_parallel: how many packages are verified side by side.
    """

    packages: frozenset[str] | None = None
    tsa_certificates: Sequence[Certificate] = ()
    expected_seal: str | None = None
    max_parallel: int = 4


def export_bundle(
    archive: ArchiveReader, out: Path, keys: Sequence[PublicKey], options: BundleOptions | None = None
) -> AuditResult:
    """
    Write a bundle. It is written under another name beside ``out`` and renamed when it is whole.

    :param archive: the archive.
    :param out: the bundle's folder; must not exist.
    :param keys: the trusted public keys; they go into the bundle.
    :param options: what goes into it.
    :return: what verifying the bundle's files found. It is written all the same, and says so itself.
    :raises SealError: when ``out`` exists or nothing of the packages is there; nothing is written.
    """
    options = options or BundleOptions()
    if out.exists():
        raise SealError(f"{out} exists already. Nothing was exported. Name a folder that does not exist.")
    known = [name for name in archive.folders() if is_package_folder(name)]
    packages = [name for name in known if options.packages is None or name in options.packages]
    if missing := sorted((options.packages or frozenset()) - set(known)):
        raise SealError(f"There is no package {', '.join(missing)}. Nothing was exported.")
    if not packages:
        raise SealError("There is no package in the archive. Nothing was exported.")
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        result = _Bundle(archive, partial, keys, options).write(packages)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return result


class _Bundle:
    """One bundle that is being written."""

    def __init__(self, archive: ArchiveReader, bag: Path, keys: Sequence[PublicKey], options: BundleOptions) -> None:
        self._archive = archive
        self._bag = bag
        self._data = bag / "data"
        self._copies = self._data / "archive"
        self._keys = keys
        self._options = options

    def write(self, packages: Sequence[str]) -> AuditResult:
        for package in packages:
            self._copy_folder(package, [info.name for info in self._archive.files(package) if parse_name(info.name)])
        self._copy_folder(SEALS, [info.name for info in self._archive.files(SEALS) if is_of_a_seal(info.name)])
        result = self._verify()
        if self._options.packages is not None:
            self._replace_entries_by_proofs(result.seals)
        self._write_signatures()
        self._write_keys()
        now = format_time(datetime.now(UTC))
        held = [name for name in packages if holds_of(info.name for info in self._archive.files(name))]
        recordings = read_recordings(LocalArchive(self._copies), packages)
        self._text("account.txt", write_account(recordings, result, now, held))
        self._text("how-to-check.txt", HOW_TO_CHECK)
        self._text("check-signatures.sh", CHECK_SIGNATURES)
        last = result.last_seal.sha256 if result.last_seal else "there is no seal"
        draft = CERTIFICATION.format(result=describe_result(result), last_seal=last)
        self._text("certification-draft-FRE-902-13-14.txt", draft)
        complete_bag(
            self._bag, {"External-Description": "Recordings with their chain of custody; see data/account.txt"}
        )
        return result

    def _copy_folder(self, folder: str, names: Sequence[str]) -> None:
        target = self._copies / folder
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            with self._archive.open(f"{folder}/{name}") as source, open(target / name, "wb") as out:
                shutil.copyfileobj(source, out, CHUNK)

    def _verify(self) -> AuditResult:
        options = AuditOptions(
            expected_seal=self._options.expected_seal,
            tsa_certificates=self._options.tsa_certificates,
            packages=self._options.packages,
            max_parallel=self._options.max_parallel,
        )
        return audit_archive(LocalArchive(self._copies), self._keys, options)

    def _replace_entries_by_proofs(self, seals: int) -> None:
        """Entries files name every package; a bundle of some packages holds proofs of their entries instead."""
        lines = list(self._proofs(seals)) if seals else []
        self._text("proofs.jsonl", "".join(lines))
        for path in (self._copies / SEALS).glob("*.jsonl.gz"):
            path.unlink()

    def _proofs(self, seals: int) -> Iterator[str]:
        leaves: list[bytes] = []
        newest: dict[str, tuple[int, bytes]] = {}
        local = LocalArchive(self._copies)
        for number in range(1, seals + 1):
            file = load_seal(local, number, self._keys).seal.entries
            for entry in read_entries(self._copies / file.path):
                line = entry.line()
                if entry.package_id in (self._options.packages or ()):
                    newest[entry.path] = (len(leaves), line)
                leaves.append(leaf_hash(line))
        tree = Tree(leaves)
        for path in sorted(newest, key=sort_key):
            index, line = newest[path]
            proof = [item.hex() for item in tree.inclusion_proof(index)]
            value: dict[str, Any] = {"path": path, "line": line.decode("ascii"), "index": index, "proof": proof}
            yield canonical_json({**value, "size": tree.size, "root": tree.root.hex()}).decode("ascii") + "\n"

    def _write_signatures(self) -> None:
        """The envelopes' signatures taken apart, for openssl, which cannot read envelopes."""
        for path in sorted(self._copies.rglob("*.json")):
            parsed = parse_name(path.name)
            if seal_number(path.name) is None and (parsed is None or parsed.kind is not Kind.ENVELOPE):
                continue
            try:
                signed, signatures = signatures_of(path.read_bytes())
            except EnvelopeError:
                continue  # verifying has found it
            target = self._data / "openssl" / path.relative_to(self._copies).with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            for number, signature in enumerate(signatures):
                stem = target.name if number == 0 else f"{target.name}-{number + 1}"
                target.with_name(f"{stem}.pae").write_bytes(signed)
                target.with_name(f"{stem}.sig").write_bytes(signature)

    def _write_keys(self) -> None:
        for key in self._keys:
            self._text(f"keys/{hashlib.sha256(key.pem.encode()).hexdigest()[:16]}.pem", key.pem)
        if self._options.tsa_certificates:
            from cryptography.hazmat.primitives.serialization import Encoding

            pems = [certificate.public_bytes(Encoding.PEM) for certificate in self._options.tsa_certificates]
            self._text("authority.pem", b"".join(pems).decode("ascii"))

    def _text(self, name: str, text: str) -> None:
        path = self._data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
