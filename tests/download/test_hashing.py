"""A sha256 beside the reading: the same digest, whatever pieces the bytes come in."""

from __future__ import annotations

import hashlib
import threading

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.download.hashing import BackgroundSha256


@given(pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=30))
def test_it_is_the_digest_of_all_bytes(pieces):
    digest = BackgroundSha256()
    for piece in pieces:
        digest.update(piece)

    expected = hashlib.sha256(b"".join(pieces)).hexdigest()
    assert digest.finish() == expected
    assert digest.finish() == expected, "and again, when everything is let go"


def test_a_single_chunk_is_hashed_without_a_thread():
    before = threading.active_count()
    digest = BackgroundSha256()
    digest.update(b"all there is")

    assert threading.active_count() == before
    assert digest.finish() == hashlib.sha256(b"all there is").hexdigest()
