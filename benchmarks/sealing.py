"""
Signing, sealing and auditing an archive of 100,000 recordings of 200 bytes on the local disk, 100 in each package.

Each step is a process of its own: ``python -m benchmarks.sealing STEP FOLDER``. The copies are small on purpose, so
that what is measured is the work for each record, not the digest of recordings. ``seal`` is run three times: on a new
archive, on one in which nothing has changed, and after 1,000 recordings more.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_iinked.custody.audit import AuditOptions, audit_archive
from airflow_provider_iinked.custody.examine import Reading
from airflow_provider_iinked.custody.keys import SigningKey, load_signing_key
from airflow_provider_iinked.custody.sealer import SealOptions, seal_archive
from airflow_provider_iinked.custody.signing import DocumentSigner
from airflow_provider_iinked.custody.statement import DOCUMENT_TYPE, format_time, read_statement, sign_document
from airflow_provider_iinked.custody.store_archive import StoreArchive
from airflow_provider_iinked.models import StoredVideo
from airflow_provider_iinked.storage import open_store
from airflow_provider_iinked.storage.base import json_bytes

RECORDINGS = 100_000
IN_A_PACKAGE = 100
MORE = 1_000


def _key(folder: Path) -> SigningKey:
    path = folder / "evidence.key"
    if not path.exists():
        key = ed25519.Ed25519PrivateKey.generate()
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return load_signing_key(path.read_bytes())


def _write(folder: Path, first: int, count: int) -> dict[str, Any]:
    """Lay recordings down, with records of the size that real ones have."""
    key, now = _key(folder), format_time(datetime.now(UTC))
    for number in range(first, first + count):
        package, video = f"package-{number // IN_A_PACKAGE:06d}", f"recording-{number:08d}"
        place = folder / "archive" / package
        place.mkdir(parents=True, exist_ok=True)
        content = f"recording {number}".encode().ljust(200)
        sha256 = hashlib.sha256(content).hexdigest()
        (place / f"{video}.mp4").write_bytes(content)
        record = {
            "format": 1,
            "package_id": package,
            "meeting_video_id": video,
            "uri": f"file:///{package}/{video}.mp4",
            "size": 200,
            "sha256": sha256,
            "video": {"meetingVideoId": video, "note": "x" * 500},
        }
        data = json_bytes(record)
        path = f"{package}/{video}.custody.json"
        (folder / "archive" / path).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        envelope = sign_document(path, digest, key, copy=(f"{package}/{video}.mp4", sha256), signed_at=now)
        (folder / "archive" / f"{path}.dsse.json").write_bytes(envelope)
    return {}


def _seal(folder: Path) -> dict[str, Any]:
    result = seal_archive(StoreArchive.at(f"file://{folder / 'archive'}"), _key(folder), SealOptions())
    assert not result.differences
    return {"records": result.recordings, "read": result.files_read}


def _audit(folder: Path, reading: Reading) -> dict[str, Any]:
    archive = StoreArchive.at(f"file://{folder / 'archive'}")
    result = audit_archive(archive, [_key(folder).public], AuditOptions(reading=reading))
    assert result.is_intact
    return {"records": result.recordings, "read": result.files_read}


STEPS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "build": lambda folder: _write(folder, 0, RECORDINGS),
    "more": lambda folder: _write(folder, RECORDINGS, MORE),
    "seal": _seal,
    "audit-documents": lambda folder: _audit(folder, Reading.DOCUMENTS),
    "audit": lambda folder: _audit(folder, Reading.ALL),
}


def _step(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.sealing", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def signing() -> list[list[str]]:
    """
    Time one signature and one verification, and a signed record on the local disk beside an unsigned one.

    :return: rows of a table.
    """
    rows = []
    times = 2_000
    for name, private in (("Ed25519", ed25519.Ed25519PrivateKey.generate()), ("ECDSA P-256", _p256())):
        key = load_signing_key(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

        def sign(key: SigningKey = key) -> bytes:
            return sign_document("p/v.custody.json", "0" * 64, key, copy=("p/v.mp4", "1" * 64), signed_at="t")

        envelope = sign()
        rows.append([f"one signature, {name}", f"{_milliseconds(sign, times):.3f}"])
        verify = lambda envelope=envelope, key=key: read_statement(envelope, DOCUMENT_TYPE, [key.public])  # noqa: E731
        rows.append([f"one verification, {name}", f"{_milliseconds(verify, times):.3f}"])
    with tempfile.TemporaryDirectory(prefix="iinked-bench-sign-") as folder:
        plain, signed = _records(Path(folder))
        rows.append(["a record on the local disk, unsigned", f"{plain:.3f}"])
        rows.append(["a record on the local disk, signed (Ed25519)", f"{signed:.3f}"])
    return rows


def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _milliseconds(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times * 1000


def _records(folder: Path) -> tuple[float, float]:
    store, signer, numbers = open_store(f"file://{folder}"), DocumentSigner(_key(folder)), iter(range(10_000))
    data = json_bytes({"note": "x" * 1_000})

    def stored() -> StoredVideo:
        video = f"v{next(numbers)}"
        base = f"file://{folder}/p/{video}"
        return StoredVideo("p", video, f"{base}.mp4", 200, "1" * 64, f"{base}.custody.json")

    plain = _milliseconds(lambda: store.create_bytes(stored().custody_uri, data), 500)
    signed = _milliseconds(lambda: signer.create_record(store, stored(), data), 500)
    return plain, signed


def run() -> list[list[str]]:
    """
    Build, seal and audit.

    :return: rows of a table.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="iinked-bench-seal-") as name:
        folder = Path(name)
        _step("build", folder)
        steps = [
            ("first seal", "seal"),
            ("seal of a night without a change", "seal"),
            ("", "more"),
            (f"seal of a night with {MORE:,} recordings more", "seal"),
            ("audit that reads records and envelopes", "audit-documents"),
            ("audit that reads everything", "audit"),
        ]
        for words, step in steps:
            found = _step(step, folder)
            if words:
                rows.append(row(words, found))
    return rows


def row(words: str, found: dict[str, Any]) -> list[str]:
    """
    Put a row of the table together.

    :param words: what was done.
    :param found: what the step printed.
    :return: the row.
    """
    rate = found["records"] / found["seconds"]
    cells = [
        f"{found['seconds']:.1f}",
        f"{found['cpu']:.1f}",
        f"{rate:,.0f}",
        f"{found['read']:,}",
        f"{found['peak_mib']:.0f}",
    ]
    return [words, *cells]


def main() -> None:
    """Run one step and print what it took."""
    step, folder = sys.argv[1:]
    began, cpu = time.perf_counter(), time.process_time()
    found = STEPS[step](Path(folder))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**found, "seconds": seconds, "cpu": cpu, "peak_mib": peak}))


if __name__ == "__main__":
    main()
