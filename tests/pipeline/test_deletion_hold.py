"""A package on legal hold: nothing of it is deleted while the hold lies in the archive."""

from __future__ import annotations

import json

import pytest

from airflow_provider_iinked.exceptions import LegalHoldError


@pytest.fixture(params=["copies", "by id"])
def copied(chain, request):
    package, _ = chain.package("a", "b", package_id="p")
    arguments = {"verified_copies": chain.download(package)}
    if request.param == "by id":
        arguments = {"package_id": package, "delete_all": True, "receipt_destination": chain.destination}
    chain.ledger.clear()
    return chain, arguments


@pytest.mark.parametrize("content", [json.dumps({"reason": "a lawsuit"}), "{", ""])
@pytest.mark.parametrize("preview", [True, False])
def test_a_held_package_is_refused_before_any_request(copied, content, preview):
    chain, arguments = copied
    chain.path("p", "_hold-0123abcd.json").write_text(content)
    with pytest.raises(LegalHoldError, match="legal hold" + (".*: a lawsuit" if "lawsuit" in content else "")):
        chain.delete(**arguments, preview=preview)
    assert chain.ledger.requests() == []


def test_a_hold_that_comes_meanwhile_keeps_what_is_not_yet_requested(copied, meanwhile):
    chain, arguments = copied
    hold = chain.path("p", "_hold-0123abcd.json")
    meanwhile.after_first_deletion(lambda: hold.write_text("{}"))
    with pytest.raises(LegalHoldError, match="b: package p is under legal hold"):
        chain.delete(**arguments, max_parallel=1)
    assert chain.ledger.deletions == ["a"]


def test_a_hold_of_another_package_does_not_matter(copied):
    chain, arguments = copied
    other = chain.path("q", "_hold-0123abcd.json")
    other.parent.mkdir()
    other.write_text("{}")
    chain.delete(**arguments)
    assert chain.ledger.deletions == ["a", "b"]


def test_a_released_package_is_deleted(copied):
    chain, arguments = copied
    hold = chain.path("p", "_hold-0123abcd.json")
    hold.write_text("{}")
    with pytest.raises(LegalHoldError):
        chain.delete(**arguments)
    hold.unlink()
    chain.delete(**arguments)
    assert chain.ledger.deletions == ["a", "b"]
