"""The receipts of a deletion: before the request, after it, and after a killed run."""

from __future__ import annotations

import pytest

from airflow_provider_iinked import exceptions


def receipts(chain):
    return {"receipt_destination": f"file://{chain.folder.parent}/receipts"}


def test_without_copies_and_without_a_place_there_are_no_receipts(chain):
    chain.package("a", package_id="p")
    chain.delete(package_id="p", delete_all=True)
    assert not chain.folder.exists()


def test_a_receipt_without_a_copy_goes_to_receipt_destination(chain, paper):
    chain.package("a", package_id="p")
    chain.delete(package_id="p", delete_all=True, **receipts(chain))
    receipt = paper(chain.folder.parent / "receipts" / "p" / "a.deletion.json")
    assert (receipt["status"], receipt["proof"], receipt["package_id"]) == ("deleted", None, "p")


def test_the_receipt_lies_there_before_the_request_is_sent(chain, paper, meanwhile):
    chain.package("a", package_id="p")
    path = chain.folder.parent / "receipts" / "p" / "a.deletion.json"
    seen = []
    meanwhile.before_first_deletion(lambda: seen.append(paper(path)["status"]))
    chain.delete(package_id="p", delete_all=True, **receipts(chain))
    assert seen == ["requested"]


@pytest.mark.parametrize("way", ["ids", "all"])
def test_a_store_that_takes_no_receipt_stops_the_deletion(chain, way):
    chain.package("a", package_id="p")
    (chain.folder.parent / "receipts").write_text("a file where a folder should be")
    asked = {"meeting_video_ids": "a"} if way == "ids" else {"delete_all": True}
    with pytest.raises(exceptions.StorageError):
        chain.delete(package_id="p", **asked, **receipts(chain))
    assert chain.ledger.delete_requests == []


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("listed", [True, False], ids=["deleted listed", "deleted dropped"])
@pytest.mark.parametrize("way", ["copies", "ids"])
def test_a_receipt_that_a_killed_run_left_is_completed_by_the_next(chain, paper, meanwhile, listed, way):
    chain.package("a", package_id="p")
    if way == "copies":
        arguments, path = {"verified_copies": chain.download("p")}, chain.path("p", "a.deletion.json")
    else:
        arguments = {"package_id": "p", "meeting_video_ids": ["a"], **receipts(chain)}
        path = chain.folder.parent / "receipts" / "p" / "a.deletion.json"

    def die():
        raise Killed

    with pytest.MonkeyPatch.context():
        meanwhile.after_first_deletion(die)
        with pytest.raises(Killed):
            chain.delete(**arguments)
    assert paper(path)["status"] == "requested"
    chain.sim.quirks.list_deleted = listed

    chain.delete(**arguments)

    receipt = paper(path)
    assert (receipt["status"], receipt["told_by"]) == ("deleted", "list")
    assert chain.ledger.deletions == ["a"]
    assert len(chain.ledger.delete_requests) == 1


def test_a_receipt_of_a_deletion_that_never_happened_is_written_again(chain, paper, meanwhile):
    chain.package("a", package_id="p")
    copies = chain.download("p")

    def die():
        raise Killed

    meanwhile.before_first_deletion(die)
    with pytest.raises(Killed):
        chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == []
    chain.delete(verified_copies=copies)
    assert paper(chain.path("p", "a.deletion.json"))["told_by"] == "answer"
    assert chain.ledger.deletions == ["a"]
