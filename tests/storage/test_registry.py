"""Which store serves which URL, and a store of one's own."""

from __future__ import annotations

import pytest

from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.storage import Store, open_store, register_store, registry
from airflow_provider_iinked.storage.local import LocalStore
from airflow_provider_iinked.storage.url import check_destination

BUILT_IN = ["abfs", "abfss", "adl", "az", "file", "gcs", "gs", "local", "s3", "s3a", "sftp", "ssh"]


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(registry, "_stores", dict(registry._stores))


@pytest.mark.parametrize("scheme", BUILT_IN)
def test_a_store_class_can_be_imported_without_what_it_needs_to_run(scheme):
    assert issubclass(registry.store_class(scheme), Store)


def test_the_disk_is_opened(tmp_path):
    assert isinstance(open_store(f"file://{tmp_path}"), LocalStore)


@pytest.mark.parametrize("url", ["ftp://host/x", "hdfs://host/x", "no scheme at all"])
def test_an_unknown_scheme_is_refused_by_name(url):
    with pytest.raises(InvalidArgumentError, match=url.partition("://")[0]):
        open_store(url)


def test_a_destination_with_an_unknown_scheme_is_refused_before_any_request():
    with pytest.raises(InvalidArgumentError, match="'ftp', which has no store here"):
        check_destination("ftp://host/x")


def test_what_a_store_needs_is_named_when_it_is_missing(monkeypatch):
    from airflow_provider_iinked.storage import fsspec_store

    def missing(url):
        raise ImportError("No module named 'gcsfs'")

    monkeypatch.setattr(fsspec_store, "ObjectStoragePath", missing)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'airflow-provider-iinked\[gcs\]'"):
        open_store("gs://bucket/x")


class OwnStore(LocalStore):
    """A store of one's own."""

    def path(self, url):
        return super().path(url.replace("vault://", "file:///", 1))


@pytest.mark.parametrize("store", [OwnStore, f"{__name__}:OwnStore"], ids=["class", "text"])
def test_a_store_of_ones_own_serves_its_scheme(store, tmp_path, monkeypatch):
    from airflow_provider_iinked.storage import fsspec_store

    path = fsspec_store.ObjectStoragePath
    monkeypatch.setattr(fsspec_store, "ObjectStoragePath", lambda url: path(url.replace("vault://", "file:///", 1)))
    register_store("vault", store)
    url = check_destination(f"vault:/{tmp_path}")

    assert open_store(url).create_json(f"{url}/a.json", {"a": 1}) is True
    assert (tmp_path / "a.json").exists()
    assert open_store(url).create_json(f"{url}/a.json", {"a": 2}) is False


@pytest.mark.parametrize(
    ("scheme", "store"),
    [("", OwnStore), ("Vault", OwnStore), ("a b", OwnStore), (None, OwnStore), ("vault", "no.colon"), ("vault", None)],
)
def test_a_malformed_registration_is_refused(scheme, store):
    with pytest.raises(InvalidArgumentError):
        register_store(scheme, store)


@pytest.mark.parametrize("store", ["no_such_module:Store", "airflow_provider_iinked.storage.local:NoSuchStore"])
def test_a_registered_store_that_cannot_be_imported_is_named(store):
    register_store("vault", store)

    with pytest.raises(InvalidArgumentError, match=store):
        open_store("vault://x/y")


def test_a_name_that_is_taken_is_never_renamed_over(tmp_path):
    store = open_store(f"file://{tmp_path}")
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")

    with pytest.raises(FileExistsError):
        store.rename_no_replace(f"file://{tmp_path}/a", f"file://{tmp_path}/b")

    assert (tmp_path / "b").read_bytes() == b"b"
