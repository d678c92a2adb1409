"""Keys are read from PEM and never show; envelopes are DSSE."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.custody.dsse import (
    MAX_SIGNATURES,
    open_envelope,
    pre_authentication_encoding,
    sign_envelope,
    signatures_of,
)
from airflow_provider_iinked.custody.errors import EnvelopeError, SigningKeyError
from airflow_provider_iinked.custody.keys import load_public_keys, load_signing_key

TYPE = "application/vnd.in-toto+json"
PRIVATE = {"ed25519": ed25519.Ed25519PrivateKey.generate(), "p256": ec.generate_private_key(ec.SECP256R1())}
OTHER = load_signing_key(
    ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
)


def pem_of(key, encryption=None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


KEYS = {name: load_signing_key(pem_of(key)) for name, key in PRIVATE.items()}


@pytest.fixture(params=KEYS)
def key(request):
    return KEYS[request.param]


# --- keys


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_key_does_not_show_in_repr_nor_pickle_nor_copy(name):
    key = KEYS[name]
    secret = pem_of(PRIVATE[name]).decode().split("\n")[1]
    assert secret not in repr(key)
    assert repr(key) == f"SigningKey(key_id='{key.key_id}', algorithm='{key.public.algorithm}')"
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            act(key)


def test_line_ends_written_as_backslash_n_are_read():
    assert load_signing_key(pem_of(PRIVATE["p256"]).decode().replace("\n", "\\n")).key_id == KEYS["p256"].key_id


def test_the_key_id_is_the_digest_of_the_public_key_unless_it_is_given():
    assert load_signing_key(pem_of(PRIVATE["ed25519"]), "archive-2026").key_id == "archive-2026"
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"],
        input=KEYS["ed25519"].public.pem.encode(),
        capture_output=True,
        check=True,
    ).stdout
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True).stdout
    assert digest.decode().split()[0] == KEYS["ed25519"].key_id


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"no key at all: hunter2", "cannot be read"),
        (b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----", "cannot be read"),
        (pem_of(PRIVATE["p256"], BestAvailableEncryption(b"hunter2")), "is encrypted"),
        (pem_of(rsa.generate_private_key(65537, 2048)), "kind that is not supported"),
        (pem_of(ec.generate_private_key(ec.SECP384R1())), "kind that is not supported"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_without_being_quoted(pem, why):
    with pytest.raises(SigningKeyError, match=why) as caught:
        load_signing_key(pem)
    assert "hunter2" not in str(caught.value)
    assert pem.decode().split("\n")[1 if b"\n" in pem else 0] not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_several_public_keys_are_read_from_one_text_each_once():
    text = KEYS["ed25519"].public.pem + "\n# the next one\n" + KEYS["p256"].public.pem + KEYS["p256"].public.pem
    assert [key.key_id for key in load_public_keys(text)] == [KEYS["ed25519"].key_id, KEYS["p256"].key_id]


def test_a_private_key_among_public_ones_is_refused():
    with pytest.raises(SigningKeyError, match="private key was given"):
        load_public_keys(pem_of(PRIVATE["ed25519"]))


@pytest.mark.parametrize("pem", ["", "nothing", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_a_text_without_a_public_key_is_refused(pem):
    with pytest.raises(SigningKeyError, match=r"no public key|cannot be read"):
        load_public_keys(pem)


def test_a_public_key_of_another_kind_is_refused():
    public = rsa.generate_private_key(65537, 2048).public_key()
    with pytest.raises(SigningKeyError, match="kind that is not supported"):
        load_public_keys(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


# --- envelopes


def test_the_signed_bytes_are_those_of_the_specification():
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.text(), st.binary(), st.text(), st.binary())
def test_two_payloads_never_give_the_same_signed_bytes(type_1, body_1, type_2, body_2):
    same = pre_authentication_encoding(type_1, body_1) == pre_authentication_encoding(type_2, body_2)
    assert same == ((type_1, body_1) == (type_2, body_2))


def test_what_was_signed_comes_out_again(key):
    payload = open_envelope(sign_envelope(TYPE, b'{"a": 1}', key), [OTHER.public, key.public])
    assert (payload.payload_type, payload.body, payload.key) == (TYPE, b'{"a": 1}', key.public)


def test_an_envelope_by_another_key_is_refused(key):
    with pytest.raises(EnvelopeError, match="no trusted key"):
        open_envelope(sign_envelope(TYPE, b"{}", OTHER), [key.public])


def test_an_envelope_that_names_a_trusted_key_but_was_signed_by_another_is_refused(key):
    envelope = json.loads(sign_envelope(TYPE, b"{}", OTHER))
    envelope["signatures"][0]["keyid"] = key.key_id
    with pytest.raises(EnvelopeError, match="no trusted key"):
        open_envelope(json.dumps(envelope).encode(), [key.public])


def test_one_of_several_signatures_by_a_trusted_key_is_enough(key):
    assert open_envelope(sign_envelope(TYPE, b"{}", OTHER, key), [key.public]).key == key.public


@pytest.mark.parametrize("key_id", [None, "", "another"])
def test_the_key_id_is_a_hint_only(key, key_id):
    envelope = json.loads(sign_envelope(TYPE, b"{}", key))
    del envelope["signatures"][0]["keyid"]
    if key_id is not None:
        envelope["signatures"][0]["keyid"] = key_id
    assert open_envelope(json.dumps(envelope).encode(), [OTHER.public, key.public]).body == b"{}"


@pytest.mark.parametrize("padded", [True, False])
def test_url_safe_base64_is_read_as_well(key, padded):
    envelope = json.loads(sign_envelope(TYPE, b"\xfb\xff\xfe?>", key))
    for holder, name in [(envelope, "payload"), (envelope["signatures"][0], "sig")]:
        text = base64.urlsafe_b64encode(base64.b64decode(holder[name])).decode()
        holder[name] = text if padded else text.rstrip("=")
    assert open_envelope(json.dumps(envelope).encode(), [key.public]).body == b"\xfb\xff\xfe?>"


def test_another_payload_or_type_under_the_same_signature_is_refused(key):
    for name, value in [("payload", base64.b64encode(b"[]").decode()), ("payloadType", "text/plain")]:
        envelope = json.loads(sign_envelope(TYPE, b"{}", key)) | {name: value}
        with pytest.raises(EnvelopeError, match="no trusted key"):
            open_envelope(json.dumps(envelope).encode(), [key.public])


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"payload": "", "payloadType": "t", "signatures": []}',
        b'{"payload": "", "payloadType": "t", "signatures": ["x"]}',
        b'{"payload": "", "payloadType": "t", "signatures": [{}]}',
        b'{"payload": "!", "payloadType": "t", "signatures": [{"sig": ""}]}',
        b'{"payload": 1, "payloadType": "t", "signatures": [{"sig": ""}]}',
        b'{"payload": "", "payloadType": 1, "signatures": [{"sig": ""}]}',
        b'{"payload": "", "payloadType": "t", "signatures": {"sig": ""}}',
        json.dumps(
            {"payload": "", "payloadType": "t", "signatures": [{"sig": ""}] * (MAX_SIGNATURES + 1)},
        ).encode(),
        b"[" * 100_000,
    ],
)
def test_a_malformed_envelope_is_refused_with_our_own_error(envelope, key):
    with pytest.raises(EnvelopeError):
        open_envelope(envelope, [key.public])


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_an_envelope_fail_otherwise(data):
    with pytest.raises(EnvelopeError):
        open_envelope(data, [OTHER.public])


def test_openssl_verifies_an_ecdsa_signature(tmp_path):
    message, [signature] = signatures_of(sign_envelope(TYPE, b"{}", KEYS["p256"]))
    (tmp_path / "key.pem").write_text(KEYS["p256"].public.pem)
    (tmp_path / "pae").write_bytes(message)
    (tmp_path / "sig").write_bytes(signature)
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "pae"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).stdout == b"Verified OK\n"


def test_openssl_verifies_an_ed25519_signature(tmp_path):
    message, [signature] = signatures_of(sign_envelope(TYPE, b"{}", KEYS["ed25519"]))
    (tmp_path / "key.pem").write_text(KEYS["ed25519"].public.pem)
    (tmp_path / "pae").write_bytes(message)
    (tmp_path / "sig").write_bytes(signature)
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "key.pem",
        "-rawin",
        "-in",
        "pae",
        "-sigfile",
        "sig",
    ]
    assert b"Verified Successfully" in subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
