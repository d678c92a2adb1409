"""Archives that tests sign, seal and then harm. All keys are made when a test runs."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_iinked.custody.archive_files import LocalArchive
from airflow_provider_iinked.custody.audit import AuditOptions, AuditResult, audit_archive
from airflow_provider_iinked.custody.keys import SigningKey, load_signing_key
from airflow_provider_iinked.custody.sealer import SealOptions, SealResult, seal_archive
from airflow_provider_iinked.custody.statement import format_time, sign_document


def make_pem(kind: str = "ed25519") -> str:
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def make_key(kind: str = "ed25519") -> SigningKey:
    return load_signing_key(make_pem(kind))


class SignedArchive:
    """A folder with recordings, signed as the provider signs them."""

    def __init__(self, root: Path, key: SigningKey) -> None:
        self.root = root
        self.key = key
        self.files = LocalArchive(root)

    def record(self, package: str, video: str, content: bytes | None = None, /, **more: Any) -> None:
        content = content if content is not None else f"bytes of {package}/{video}".encode() * 40
        sha256 = hashlib.sha256(content).hexdigest()
        self.write(f"{package}/{video}.mp4", content)
        document = {
            "format": 1,
            "uri": f"s3://bucket/old/{package}/{video}.mp4",
            "size": len(content),
            "sha256": sha256,
        }
        self.sign(package, video, ".custody.json", {**document, **more}, copy=(f"{package}/{video}.mp4", sha256))

    def receipt(self, package: str, video: str, status: str = "deleted") -> None:
        self.sign(package, video, ".deletion.json", {"format": 1, "status": status})

    def erase(self, package: str, video: str, status: str = "erased", key: SigningKey | None = None) -> None:
        (self.root / package / f"{video}.mp4").unlink()
        self.sign(package, video, ".erased.json", {"format": 1, "status": status, "reason": "a court's order"}, key=key)

    def sign(
        self,
        package: str,
        video: str,
        suffix: str,
        document: dict[str, Any],
        *,
        copy: tuple[str, str] | None = None,
        key: SigningKey | None = None,
        signed_at: str | None = None,
    ) -> None:
        path = f"{package}/{video}{suffix}"
        data = json.dumps({**document, "package_id": package, "meeting_video_id": video}).encode()
        time = signed_at or format_time(datetime.now(UTC))
        self.write(path, data)
        digest = hashlib.sha256(data).hexdigest()
        self.write(f"{path}.dsse.json", sign_document(path, digest, key or self.key, copy=copy, signed_at=time))

    def write(self, path: str, data: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def seal(self, **options: Any) -> SealResult:
        return seal_archive(self.files, self.key, SealOptions(**options))

    def audit(self, **options: Any) -> AuditResult:
        return audit_archive(self.files, [self.key.public], AuditOptions(**options))

    def copy_to(self, root: Path) -> SignedArchive:
        shutil.copytree(self.root, root)
        return SignedArchive(root, self.key)


def flip(path: Path, at: int = -1) -> None:
    """Change one byte of a file, and nothing of its size."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def remove(archive: SignedArchive, pattern: str) -> None:
    found = list(archive.root.glob(pattern))
    assert found, pattern
    for path in found:
        path.unlink()


# --- the ten differences of the issue: each takes an archive of four time-stamped seals; two older states lie beside it


def edit_a_copy(archive: SignedArchive) -> None:
    flip(archive.root / "p1/v1.mp4", 17)


def edit_a_record_and_sign_it_with_another_key(archive: SignedArchive) -> None:
    record = json.loads((archive.root / "p1/v1.custody.json").read_bytes())
    copy = ("p1/v1.mp4", record["sha256"])
    archive.sign("p1", "v1", ".custody.json", record | {"note": "edited"}, copy=copy, key=make_key())


def remove_a_receipt(archive: SignedArchive) -> None:
    remove(archive, "p1/v1.deletion.json*")


def remove_all_files_of_a_recording(archive: SignedArchive) -> None:
    remove(archive, "p1/v1.*")


def remove_a_package(archive: SignedArchive) -> None:
    shutil.rmtree(archive.root / "p2")


def remove_the_newest_two_seals(archive: SignedArchive) -> None:
    remove(archive, "_seals/00000003.*")
    remove(archive, "_seals/00000004.*")


def put_an_old_state_back(archive: SignedArchive) -> None:
    shutil.rmtree(archive.root)
    shutil.copytree(archive.root.parent / "after-2", archive.root)


def forge_a_seal(archive: SignedArchive) -> None:
    forged = SignedArchive(archive.root.parent / "forged", make_key())
    shutil.copytree(archive.root.parent / "after-3", forged.root)
    remove(forged, "_seals/*")
    for _ in range(4):
        forged.seal(public_keys=[archive.key.public])
    for path in forged.root.glob("_seals/00000004.*"):
        shutil.copy(path, archive.root / "_seals" / path.name)


def move_an_envelope_to_another_record(archive: SignedArchive) -> None:
    shutil.copy(archive.root / "p1/v1.custody.json.dsse.json", archive.root / "p1/v2.custody.json.dsse.json")


def take_the_time_stamp_of_another_seal(archive: SignedArchive) -> None:
    [first] = archive.root.glob("_seals/00000001.*.tsr")
    [second] = archive.root.glob("_seals/00000002.*.tsr")
    shutil.copy(first, second)


TEN: dict[str, tuple[Callable[[SignedArchive], None], set[str]]] = {
    "one byte of a copy": (edit_a_copy, {"copy changed"}),
    "a record edited and re-signed with another key": (
        edit_a_record_and_sign_it_with_another_key,
        {"signature wrong"},
    ),
    "a receipt removed": (remove_a_receipt, {"document missing"}),
    "all files of one recording removed": (remove_all_files_of_a_recording, {"document missing", "copy missing"}),
    "a package removed": (remove_a_package, {"document missing", "copy missing"}),
    "the newest two seals removed": (remove_the_newest_two_seals, {"seal missing"}),
    "an old state of the whole folder put back": (put_an_old_state_back, {"seal missing"}),
    "a seal forged": (forge_a_seal, {"seal wrong", "seal missing"}),
    "an envelope moved to another record": (move_an_envelope_to_another_record, {"signature wrong"}),
    "a time stamp of another seal": (take_the_time_stamp_of_another_seal, {"time stamp wrong"}),
}


def build(folder: Path, key: SigningKey, stamp: Callable[[bytes], bytes] | None) -> tuple[SignedArchive, SealResult]:
    """An archive of four seals below ``folder``, and its state after the second and the third one beside it."""
    archive = SignedArchive(folder / "archive", key)
    for package, video in [("p1", "v1"), ("p1", "v2"), ("p2", "v1"), ("p2", "v2"), ("p-3", "v1")]:
        archive.record(package, video)
    archive.seal(request_timestamp=stamp)
    archive.receipt("p1", "v1", "requested")
    archive.seal(request_timestamp=stamp, state_every=2)
    archive.copy_to(folder / "after-2")
    archive.receipt("p1", "v1")
    archive.record("p4", "v9")
    archive.seal(request_timestamp=stamp)
    archive.copy_to(folder / "after-3")
    archive.erase("p-3", "v1")
    last = archive.seal(request_timestamp=stamp)
    return archive, last


# --- a time stamp authority made of openssl

_CONFIG = """
[tsa]
default_tsa = own
[own]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
[ext]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = critical,timeStamping
"""


class Authority:
    """An authority with its own root certificate, which answers through ``openssl ts``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "conf").write_text(_CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl(
            "req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test root", "-days", "2"
        )
        self._openssl("req", *new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test authority")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "conf"]
        self._openssl("x509", "-req", "-in", "tsa.csr", "-out", "tsa.pem", "-extensions", "ext", *signed)
        self.root_pem = (folder / "ca.pem").read_bytes()

    def answer(self, request: bytes) -> bytes:
        (self.folder / "query").write_bytes(request)
        self._openssl("ts", "-reply", "-config", "conf", "-queryfile", "query", "-out", "reply")
        return (self.folder / "reply").read_bytes()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
