"""What an envelope says about the document beside it."""

from __future__ import annotations

import hashlib

import pytest

from airflow_provider_iinked.custody.signature import SignatureState, check_signature, subjects_of
from airflow_provider_iinked.custody.statement import DOCUMENT_TYPE, sign_document, sign_statement
from tests.custody.sealed_archives import make_key

KEY = make_key()
PATH, DATA, TIME = "p/v.deletion.json", b"{}", "2026-11-27T12:00:00.000000Z"
SUBJECTS = subjects_of(PATH, DATA)


def sign(path=PATH, data=DATA, key=KEY, **more):
    return sign_document(path, hashlib.sha256(data).hexdigest(), key, copy=None, signed_at=TIME, **more)


def state(envelope, subjects=SUBJECTS):
    return check_signature(envelope, subjects, [KEY.public]).state


def test_a_trusted_signature_of_these_bytes_under_this_name_is_valid_and_says_when():
    found = check_signature(sign(), SUBJECTS, [KEY.public])
    assert (found.state, found.is_valid, found.signed_at, found.reason) == (SignatureState.VALID, True, TIME, "")


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        (None, SignatureState.MISSING),
        (b"", SignatureState.WRONG),
        (sign(data=b"other"), SignatureState.WRONG),
        (sign(path="p/w.deletion.json"), SignatureState.WRONG),
        (sign(key=make_key()), SignatureState.UNTRUSTED),
        (sign(data=b"other", key=make_key()), SignatureState.WRONG),
        (sign_statement(SUBJECTS, DOCUMENT_TYPE, {"signed_at": "yesterday"}, KEY), SignatureState.WRONG),
    ],
    ids=["none", "empty", "other bytes", "another name", "another key", "neither", "no time"],
)
def test_no_other_envelope_is_valid(envelope, expected):
    found = check_signature(envelope, SUBJECTS, [KEY.public])
    assert (found.state, found.is_valid) == (expected, False)
    assert found.reason


def test_the_envelope_of_a_successor_vouches_for_the_version_that_it_replaces():
    replaced = hashlib.sha256(DATA).hexdigest()
    assert state(sign(data=b"new", replaces=replaced)) is SignatureState.BEING_REPLACED


@pytest.mark.parametrize("more", [{"key": make_key()}, {"path": "p/w.deletion.json"}])
def test_a_successor_of_another_name_or_key_vouches_for_nothing(more):
    replaced = hashlib.sha256(DATA).hexdigest()
    assert state(sign(data=b"new", replaces=replaced, **more)) is SignatureState.WRONG


def test_the_copy_of_a_record_must_be_named_too():
    digest = hashlib.sha256(DATA).hexdigest()
    copy = ("p/v.mp4", "0" * 64)
    subjects = subjects_of("p/v.custody.json", DATA, copy)
    signed = sign_document("p/v.custody.json", digest, KEY, copy=copy, signed_at=TIME)
    assert state(signed, subjects) is SignatureState.VALID
    assert state(signed, subjects_of("p/v.custody.json", DATA, ("p/v.mp4", "1" * 64))) is SignatureState.WRONG
