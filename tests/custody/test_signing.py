"""A document and its envelope fit each other in the end, whoever writes at the same time."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_iinked.custody.audit import AuditOptions, audit_archive
from airflow_provider_iinked.custody.signing import DocumentSigner, write_document
from airflow_provider_iinked.custody.store_archive import StoreArchive
from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage import open_store
from airflow_provider_iinked.storage.local import LocalStore
from tests.custody.sealed_archives import make_key


def receipt(status):
    return {"package_id": "p", "meeting_video_id": "v", "status": status}


@pytest.fixture
def place(tmp_path):
    return f"file://{tmp_path}", open_store(f"file://{tmp_path}"), make_key()


@pytest.mark.parametrize("moment", range(2))
def test_another_run_that_writes_in_between_leaves_a_pair_that_fits(place, monkeypatch, moment):
    destination, store, key = place
    url, signer, writes = f"{destination}/p/v.deletion.json", DocumentSigner(key), itertools.count()
    really = LocalStore.replace_bytes

    def replace_bytes(self, name, data, **more):
        if next(writes) == moment:
            write_document(store, url, receipt("requested"), DocumentSigner(key))
        really(self, name, data, **more)

    monkeypatch.setattr(LocalStore, "replace_bytes", replace_bytes)
    write_document(store, url, receipt("deleted"), signer)
    archive = StoreArchive.at(destination)
    assert audit_archive(archive, [key.public], AuditOptions(require_seals=False)).differences == []
    assert store.read_json(url)[1]["status"] == "deleted"


def test_a_document_that_others_write_again_and_again_is_an_error_that_a_retry_may_mend(place, monkeypatch):
    destination, store, key = place
    monkeypatch.setattr(LocalStore, "read_bytes", lambda self, url: b"another's")
    with pytest.raises(StorageError, match="same time"):
        write_document(store, f"{destination}/p/v.deletion.json", receipt("deleted"), DocumentSigner(key))


def test_a_signer_shows_the_keys_id_and_cannot_be_pickled(place):
    import pickle

    signer = DocumentSigner(place[2])
    assert repr(signer) == f"DocumentSigner(key_id={place[2].key_id!r})"
    with pytest.raises(TypeError):
        pickle.dumps(signer)
