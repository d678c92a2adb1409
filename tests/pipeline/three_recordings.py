"""The deletion of the three recordings of the fixture ``three``: it ends well, or it fails and harms nothing."""

from __future__ import annotations

import pytest

from airflow_provider_iinked import exceptions


def states(answer):
    return {video["meetingVideoId"]: video["state"] for video in answer["videos"]}


def ends_well(three, requests=None):
    """The three are deleted, each by its id, and each at most once; the neighbour is left alone."""
    chain, arguments = three
    answer = chain.delete(**arguments)
    assert states(answer) == dict.fromkeys("abc", "deleted")
    assert sorted(chain.ledger.deletions) == ["a", "b", "c"]
    assert all(record.by_id for record in chain.ledger.deletion_records)
    assert all(request.body.get("meetingVideoId") for request in chain.ledger.delete_requests)
    if requests is not None:
        assert len(chain.ledger.delete_requests) == requests
    return answer


def fails(three, error, match=None):
    chain, arguments = three
    with pytest.raises(exceptions.IinkedSignError, match=match) as caught:
        chain.delete(**arguments)
    assert type(caught.value) is error
    assert "neighbour" not in chain.ledger.deletions or error is exceptions.UnrequestedDeletionError
    return caught.value
