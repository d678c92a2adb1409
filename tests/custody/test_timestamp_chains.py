"""Time stamps of other authorities: RSA and longer digests, an authority in between, certificates that ended."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from airflow_provider_iinked.custody.errors import TimestampError
from airflow_provider_iinked.custody.timestamp import read_timestamp, request_timestamp

pytest.importorskip("rfc3161_client")
DATA = b"a seal's bytes"
DAY = timedelta(days=1)

_CONFIG = """
[tsa]
default_tsa = own
[own]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
certs = chain.pem
signer_digest = {digest}
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = {digest}
"""


def make_key(kind: str) -> Any:
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def make_certificate(name: str, key: Any, issuer: Any, *, ends: datetime, ca: bool) -> x509.Certificate:
    """A certificate; ``issuer`` is the certificate and key that sign it, None for a root."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, by_key = issuer if issuer else (None, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(datetime.now(UTC), ends) - 2 * DAY)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((by or key).public_key()),  # type: ignore[union-attr]
            critical=False,
        )
    )
    if ca:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
        )
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=False, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            critical=True,
        )
    else:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    return builder.sign(by_key, hashes.SHA256())


class Chain:
    """An authority whose certificate another one signed, under a root."""

    def __init__(self, folder: Path, *, kind: str = "ec", digest: str = "sha256", ends: datetime | None = None) -> None:
        self.folder = folder
        later = datetime.now(UTC) + 30 * DAY
        root_key, middle_key, key = make_key(kind), make_key(kind), make_key(kind)
        self.root = make_certificate("A root that is far from the authority", root_key, None, ends=later, ca=True)
        # Longer than the authority's own: openssl does not sort the certificates of its answer, as DER asks for.
        middle = make_certificate(
            "Between the root and the authority", middle_key, (self.root, root_key), ends=later, ca=True
        )
        own = make_certificate("TSA", key, (middle, middle_key), ends=ends or later, ca=False)
        pem = Encoding.PEM
        (folder / "tsa.pem").write_bytes(own.public_bytes(pem))
        (folder / "chain.pem").write_bytes(middle.public_bytes(pem))
        (folder / "root.pem").write_bytes(self.root.public_bytes(pem))
        (folder / "tsa.key").write_bytes(key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()))
        (folder / "serial").write_text("01\n")
        (folder / "conf").write_text(_CONFIG.format(digest=digest))

    def answer(self, request: bytes) -> bytes:
        (self.folder / "query").write_bytes(request)
        command = ["openssl", "ts", "-reply", "-config", "conf", "-queryfile", "query", "-out", "reply"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return (self.folder / "reply").read_bytes()

    def stamp(self) -> bytes:
        return request_timestamp(DATA, self.answer)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_a_chain_to_a_trusted_root_is_followed(tmp_path, kind, digest):
    chain = Chain(tmp_path, kind=kind, digest=digest)
    answer = chain.stamp()
    assert abs(read_timestamp(answer, DATA, [chain.root]) - datetime.now(UTC)) < DAY


def test_an_answer_that_is_no_der_is_refused_with_a_reason(tmp_path):
    chain = Chain(tmp_path)
    own, middle = (tmp_path / "tsa.pem").read_bytes(), (tmp_path / "chain.pem").read_bytes()
    (tmp_path / "chain.pem").write_bytes(middle + own)
    with pytest.raises(TimestampError, match=r"cannot be read: .*Ordering"):
        chain.stamp()


def test_a_chain_to_another_root_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    answer = Chain(tmp_path).stamp()
    with pytest.raises(TimestampError, match="no trusted authority"):
        read_timestamp(answer, DATA, [Chain(tmp_path / "other").root])


def test_a_certificate_that_had_ended_when_it_stamped_is_refused(tmp_path):
    chain = Chain(tmp_path, ends=datetime.now(UTC) - DAY)
    with pytest.raises(TimestampError, match="no trusted authority"):
        read_timestamp(chain.stamp(), DATA, [chain.root])


def test_a_certificate_that_has_ended_since_it_stamped_is_accepted(tmp_path):
    for life in (3, 15, 60):
        ends = datetime.now(UTC) + timedelta(seconds=life)
        (folder := tmp_path / str(life)).mkdir()
        chain = Chain(folder, ends=ends)
        answer = chain.stamp()
        if datetime.now(UTC) + timedelta(seconds=1) < ends:
            break
    while (left := (ends - datetime.now(UTC)).total_seconds()) > -1.1:
        time.sleep(max(0.1, left))
    assert read_timestamp(answer, DATA, [chain.root]) < ends
