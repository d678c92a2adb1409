"""What exactly may be deleted, and what an answer says beyond it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.arguments import NOTSET
from airflow_provider_iinked.custody.record import TaskIdentity
from airflow_provider_iinked.deletion.approval import read_plan
from airflow_provider_iinked.deletion.plan import disappeared, is_gone, make_plan, unrequested_ids
from airflow_provider_iinked.deletion.request import parse_deletion_request, read_copies
from airflow_provider_iinked.deletion.result import PackageOutcome, build_response, partial_failure_error
from airflow_provider_iinked.deletion.rules import DeletionRules
from airflow_provider_iinked.deletion.target import check_exactly_one_target
from airflow_provider_iinked.exceptions import InvalidArgumentError, StateNotAllowedError
from airflow_provider_iinked.models import VideoList, parse_video


def listing(**states):
    return VideoList([parse_video({"meetingVideoId": name, "state": state}) for name, state in states.items()])


def copy(video="v", package="p", folder="file:///data", **changes):
    place = f"{folder}/{package}"
    return {
        "package_id": package,
        "meeting_video_id": video,
        "uri": f"{place}/{video}.mp4",
        "size": 5,
        "sha256": "a" * 64,
        "custody_uri": f"{place}/{video}.custody.json",
        **changes,
    }


def order(**arguments):
    defaults = {
        "package_id": NOTSET,
        "meeting_video_ids": "*",
        "verified_copies": NOTSET,
        "delete_all": False,
        "states": ("archived",),
        "recheck": "sha256",
        "preview": False,
        "receipt_destination": None,
        "receipts_wanted": False,
        "conn_id": "c",
        "task": TaskIdentity(),
    }
    return parse_deletion_request(**{**defaults, **arguments})


def target(**arguments):
    """The only package of a request."""
    (only,) = order(**arguments).packages
    return only


# --- the three ways ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [True, False])
@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("everything", [True, False])
def test_exactly_one_way_says_what_is_to_be_deleted(package, ids, copies, everything):
    allowed = {
        # package, ids, copies, everything
        (True, True, False, False),
        (True, False, True, False),
        (False, False, True, False),
        (True, True, True, False),
        (False, True, True, False),
        (True, False, False, True),
    }
    given_ways = {"package_given": package, "ids_given": ids, "copies_given": copies, "delete_all": everything}
    if (package, ids, copies, everything) in allowed:
        check_exactly_one_target(**given_ways)
        return
    with pytest.raises(InvalidArgumentError, match="Nothing was sent"):
        check_exactly_one_target(**given_ways)


BAD_ORDERS = [
    {},
    {"package_id": "p"},
    {"package_id": "p", "meeting_video_ids": "*"},
    {"package_id": "p", "meeting_video_ids": None},
    {"package_id": None, "meeting_video_ids": "v"},
    {"package_id": "p", "delete_all": "False"},
    {"package_id": "p", "delete_all": "True"},
    {"package_id": "p", "delete_all": 1},
    {"package_id": "p", "delete_all": True, "meeting_video_ids": "v"},
    {"package_id": "p", "delete_all": True, "verified_copies": [copy()]},
    {"package_id": "p", "meeting_video_ids": "v", "preview": "False"},
    {"package_id": "p", "meeting_video_ids": "v", "preview": None},
    {"package_id": "p", "meeting_video_ids": "v", "recheck": "none"},
    {"package_id": "p", "meeting_video_ids": "v", "states": ()},
    {"package_id": "p", "meeting_video_ids": "v", "states": None},
    {"package_id": "p", "meeting_video_ids": "v", "states": ("deleted",)},
    {"package_id": "p", "meeting_video_ids": "v", "states": ("archived", "unheard")},
    {"package_id": "p", "meeting_video_ids": "v", "receipts_wanted": True},
    {"package_id": "p", "meeting_video_ids": "v", "receipts_wanted": True, "receipt_destination": "/data"},
    {"verified_copies": None},
    {"verified_copies": ""},
    {"verified_copies": "None"},
    {"verified_copies": "[]"},
    {"verified_copies": b"[]"},
    {"verified_copies": 5},
    {"verified_copies": [copy()], "states": ("failed",)},
    {"verified_copies": [copy()], "meeting_video_ids": "other"},
    {"verified_copies": [], "meeting_video_ids": "v"},
    {"verified_copies": [copy()], "meeting_video_ids": None},
    {"verified_copies": [copy()], "package_id": "q"},
    {"verified_copies": [copy()], "package_id": None},
    {"verified_copies": [copy(), copy("w", "q")], "package_id": "p"},
    {"verified_copies": [copy(), copy("w", "q")], "meeting_video_ids": "v"},
    {"verified_copies": [], "package_id": [], "meeting_video_ids": "v"},
    {"package_id": ["p", "q"], "meeting_video_ids": "v"},
    {"package_id": ["p", "q"]},
    {"package_id": ["p", ""], "delete_all": True},
    {"package_id": "*", "delete_all": True},
    {"package_id": "p", "meeting_video_ids": "v", "min_copies": 2},
    {"verified_copies": [copy()], "min_copies": 0},
    {"verified_copies": [copy()], "min_copies": "2"},
    {"verified_copies": [copy()], "max_parallel": 0},
]


@pytest.mark.parametrize("arguments", BAD_ORDERS)
def test_what_is_missing_contradictory_or_empty_handed_is_refused(arguments):
    with pytest.raises(InvalidArgumentError):
        order(**arguments)


def test_delete_all_means_what_the_list_shows():
    assert target(package_id="p", delete_all=True).meeting_video_ids is None


def test_an_empty_list_means_nothing():
    assert target(package_id="p", meeting_video_ids=[]).meeting_video_ids == ()
    assert order(verified_copies=[]).packages == ()
    assert target(verified_copies=[], package_id="p").meeting_video_ids == ()
    assert target(verified_copies=[copy()], meeting_video_ids=[]).meeting_video_ids == ()


def test_the_package_is_taken_from_the_records():
    assert target(verified_copies=[copy()]).package_id == "p"


def test_records_may_be_narrowed():
    narrowed = target(verified_copies=[copy("a"), copy("b")], meeting_video_ids=["B"])
    assert narrowed.meeting_video_ids == ("B",)
    assert [found.meeting_video_id for found in narrowed.copies_of("B")] == ["b"]


def test_copies_may_span_packages_and_the_result_is_a_list_then():
    several = order(verified_copies=[[copy("v", "p"), copy("w", "p")], [copy("v", "q")]])
    assert [(t.package_id, t.meeting_video_ids) for t in several.packages] == [("p", ("v", "w")), ("q", ("v",))]
    assert several.as_list
    assert not order(verified_copies=[copy()]).as_list


def test_a_package_that_is_named_and_has_no_copies_has_nothing_to_delete():
    named = order(verified_copies=[copy()], package_id=["p", "q"])
    assert [(t.package_id, t.meeting_video_ids) for t in named.packages] == [("p", ("v",)), ("q", ())]


def test_a_list_of_packages_with_delete_all_means_what_each_list_shows():
    everything = order(package_id=["p", "q"], delete_all=True)
    assert [(t.package_id, t.meeting_video_ids) for t in everything.packages] == [("p", None), ("q", None)]


def test_an_empty_list_of_packages_is_nothing():
    assert order(package_id=[], delete_all=True).packages == ()
    assert order(package_id=[], delete_all=True).as_list


# --- verified copies --------------------------------------------------------------------------------------------------


class Lazy(list):
    """Stands for the lazy sequences of mapped tasks: a sequence that is no plain list."""


@pytest.mark.parametrize(
    "value",
    [
        [copy("a"), copy("b")],
        [[copy("a")], [copy("b")]],
        ([copy("a")], (copy("b"),)),
        Lazy([[copy("a")], [], [copy("b")]]),
        [[[[[[[[copy("a")], [copy("b")]]]]]]]],
    ],
)
def test_lists_of_lists_are_flattened(value):
    assert list(read_copies(value)["p"]) == ["a", "b"]


def test_one_record_by_itself_and_the_same_record_twice_are_one():
    assert read_copies(copy()) == read_copies([copy(), [copy()]])
    assert len(read_copies(copy())["p"]["v"]) == 1


def test_records_of_one_recording_may_lie_in_several_places():
    found = read_copies([copy(folder="s3://one"), copy(folder="s3://two")])["p"]["v"]
    assert [place.uri for place in found] == ["s3://one/p/v.mp4", "s3://two/p/v.mp4"]


def nested(levels):
    inner = copy()
    for _ in range(levels):
        inner = [inner]
    return inner


BAD_COPIES = [
    [None],
    nested(5000),
    ["v"],
    [{}],
    [copy(size=None)],
    [copy(size=-1)],
    [copy(size=True)],
    [copy(size="5")],
    [copy(sha256="abc")],
    [copy(sha256="A" * 64)],
    [copy(sha256=None)],
    [copy(package_id="")],
    [copy(package_id="a/b")],
    [copy(meeting_video_id="*")],
    [copy(meeting_video_id="../v")],
    [copy(uri="/data/p/v.mp4")],
    [copy(uri="file:///data/../v.mp4")],
    [copy(uri="memory://p/v.mp4")],
    [copy(uri="file:///data//p/v.mp4")],
    [copy(custody_uri=None)],
    [copy(custody_uri="None")],
    [copy(), copy(size=6)],
    [copy(), copy(sha256="b" * 64)],
    [copy("v"), copy("V", size=6)],
    [copy(folder="s3://one"), copy(folder="s3://two", size=6)],
    [copy(folder="s3://one"), copy(folder="s3://two", sha256="b" * 64)],
    [copy(), copy(custody_uri="file:///other/p/v.custody.json")],
    [copy("a"), copy("b", uri=copy("a")["uri"])],
    [copy("a"), copy("b", custody_uri=copy("a")["custody_uri"])],
]


@pytest.mark.parametrize("value", BAD_COPIES)
def test_records_that_are_malformed_disagree_or_share_a_place_are_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^verified_copies"):
        read_copies(value)


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_sorts_what_was_requested():
    plan = make_plan(listing(a="archived", b="deleted", c="archived"), ("A", "b", "x"), ("archived",))
    assert [video.meeting_video_id for video in plan.to_delete] == ["a"]
    assert [video.meeting_video_id for video in plan.already_deleted] == ["b"]
    assert plan.unlisted == ("x",)


@pytest.mark.parametrize("state", ["started", "stopped", "queued", "failed", "unheard", ""])
def test_one_recording_in_another_state_refuses_the_whole_call(state):
    with pytest.raises(StateNotAllowedError, match="nothing was sent"):
        make_plan(listing(a="archived", b=state), None, ("archived",))


def test_a_recording_in_another_state_that_was_not_requested_does_not_matter():
    assert len(make_plan(listing(a="archived", b="started"), ("a",), ("archived",)).to_delete) == 1


STATES = st.sampled_from(["started", "queued", "failed", "archived", "deleted", "unheard"])
NAMES = st.sampled_from("abcdefg")


@given(
    st.dictionaries(NAMES, STATES), st.none() | st.lists(NAMES, unique=True), st.sets(STATES.filter("deleted".__ne__))
)
def test_a_plan_deletes_only_what_was_requested_is_listed_and_is_in_an_allowed_state(states, wanted, allowed):
    try:
        plan = make_plan(listing(**states), wanted, allowed)
    except StateNotAllowedError:
        return
    for video in plan.to_delete:
        assert video.state == states[video.meeting_video_id]
        assert video.state in allowed
        assert wanted is None or video.meeting_video_id in wanted
    named = [video.meeting_video_id for video in (*plan.to_delete, *plan.already_deleted)]
    assert sorted([*named, *plan.unlisted]) == sorted(states if wanted is None else wanted)


def test_an_answer_may_name_only_what_was_requested_or_gone_before():
    named = listing(a="deleted", B="deleted", c="deleted").videos
    assert unrequested_ids(named, requested={"a"}, gone_before={"b"}) == ["c"]


def test_what_was_live_and_is_gone_unasked_has_vanished():
    before = listing(a="archived", b="archived", c="deleted", d="archived", e="queued")
    assert disappeared(before, listing(a="deleted", d="archived"), requested={"a"}) == ["b", "e"]


@pytest.mark.parametrize(("now", "gone"), [({"a": "deleted"}, True), ({}, True), ({"a": "archived"}, False)])
def test_a_recording_is_gone_when_deleted_or_not_listed(now, gone):
    assert is_gone(listing(**now), parse_video({"meetingVideoId": "A"})) is gone


# --- the answer -------------------------------------------------------------------------------------------------------


def rules_for(wanted, **states):
    return DeletionRules("p", listing(**states), listed_at=0.0, wanted=wanted, states=("archived",), guarded=False)


def deleted(rules, video, **fields):
    """Let a recording be deleted, as the API says and a list shows."""
    rules.receipt_written(video)
    rules.begin_request(video, now=1.0)
    rules.answered(video, [parse_video({"meetingVideoId": video, "state": "deleted", **fields})])
    now = {v.meeting_video_id: "deleted" if v.meeting_video_id == video else v.state for v in rules.listing.videos}
    rules.take_list(listing(**now), listed_at=2.0)


def test_the_response_merges_the_apis_words_without_urls_and_without_undocumented_fields():
    rules = rules_for(("a", "b", "x"), a="archived", b="deleted")
    deleted(rules, "a", url="https://h/v?t=1", timeUrlExpires="t", secretNote="x")
    assert build_response(PackageOutcome("p", rules), api_base="https://x/api/v1") == {
        "packageId": "p",
        "videos": [
            {"meetingVideoId": "b", "state": "deleted"},
            {"meetingVideoId": "a", "state": "deleted", "url": None, "timeUrlExpires": None},
        ],
        "notListed": ["x"],
    }


def test_a_preview_names_what_would_be_deleted_only():
    rules = rules_for(None, a="archived", b="deleted")
    response = build_response(PackageOutcome("p", rules), api_base="https://x/api/v1", preview=True)
    assert response["videos"] == [{"meetingVideoId": "a", "state": "archived"}]
    assert response["preview"] is True
    assert [planned.meeting_video_id for planned in read_plan(response)] == ["a"]


def test_the_error_of_a_partial_deletion_says_what_was_done_and_what_was_not():
    rules = rules_for(None, a="archived", b="archived", c="archived")
    deleted(rules, "a")
    rules.fail("b", exceptions.VerificationError("its copy is gone"))
    error = partial_failure_error([PackageOutcome("p", rules)])
    assert type(error) is exceptions.VerificationError
    for words in ("b: its copy is gone", "Deleted by this task: a", "not confirmed: c", "Clearing the task is safe"):
        assert words in str(error)


def test_a_deletion_that_no_list_has_shown_is_named_as_such():
    rules = rules_for(None, a="archived", b="archived")
    rules.receipt_written("a")
    rules.begin_request("a", now=1.0)
    rules.answered("a", [parse_video({"meetingVideoId": "a", "state": "deleted"})])
    stopped = exceptions.AuthenticationError("the key is refused")
    error = partial_failure_error([PackageOutcome("p", rules, error=stopped)], stopped_by=stopped)
    assert "Deleted by this task: a. The API says so, and no list has shown it yet: a." in str(error)


def test_an_error_that_a_retry_may_help_stands_for_the_others():
    rules = rules_for(None, a="archived", b="archived")
    rules.fail("a", exceptions.VerificationError("x"))
    rules.fail("b", exceptions.StorageError("y"))
    assert type(partial_failure_error([PackageOutcome("p", rules)])) is exceptions.StorageError


def test_the_error_about_several_packages_names_those_that_failed_only():
    outcomes = [PackageOutcome(name, rules_for((), a="archived")) for name in ("fine", "also-fine")]
    outcomes.append(PackageOutcome("bad", error=exceptions.PackageNotFoundError("it does not exist")))
    error = partial_failure_error(outcomes)
    assert type(error) is exceptions.PackageNotFoundError
    assert "2 of 3 packages have no error" in str(error)
    assert "Package bad: it does not exist." in str(error)
    assert "fine:" not in str(error)
