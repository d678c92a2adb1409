from __future__ import annotations

import shutil
from functools import partial

import pytest

from airflow_provider_iinked.custody.timestamp import load_certificates, request_timestamp
from tests.custody.sealed_archives import Authority, SignedArchive, build, make_key


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    pytest.importorskip("rfc3161_client")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stamp(authority):
    return partial(request_timestamp, post=authority.answer)


@pytest.fixture(scope="session")
def roots(authority):
    return load_certificates(authority.root_pem)


@pytest.fixture(scope="session")
def built(tmp_path_factory, stamp):
    """Built once; never changed."""
    folder = tmp_path_factory.mktemp("built")
    return folder, *build(folder, make_key(), stamp)


@pytest.fixture
def archive(built, tmp_path):
    """A copy of it that a test may change."""
    folder, original, _ = built
    shutil.copytree(folder, tmp_path / "built")
    return SignedArchive(tmp_path / "built" / "archive", original.key)


@pytest.fixture
def last_seal(built):
    return built[2].sha256


@pytest.fixture
def empty(tmp_path):
    """An archive without anything."""
    return SignedArchive(tmp_path / "archive", make_key())
