"""Checks of arguments: what is no id never gets further, and what is empty never means more."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.arguments import (
    NOTSET,
    check_choice,
    check_conn_id,
    check_filter,
    check_id,
    check_interval,
    check_package_ids,
    check_seconds,
    check_selection,
    check_video_ids,
    is_empty_word,
    require_bool,
    require_int,
    require_not_none,
)
from airflow_provider_iinked.exceptions import InvalidArgumentError

BAD_IDS = {
    "empty": "",
    "blank": " ",
    "None": None,
    "text None": "None",
    "text none": "none",
    "text null": "null",
    "text None in blanks": " None ",
    "whole number": 7,
    "float": 1e5,
    "True": True,
    "bytes": b"abc",
    "path up": "../x",
    "slash": "a/b",
    "query": "a?b",
    "fragment": "a#b",
    "percent": "a%2Fb",
    "newline inside": "a\nb",
    "newline at the end": "abc\n",
    "blank inside": "a b",
    "blank around": " abc ",
    "star inside": "a*",
    "braces": "{{ x }}",
    "text of a list": "['a', 'b']",
    "other digits": "a\u0661",
    "letter with accent": "\u00e9",
    "zero byte": "a\0",
    "dict": {"a": 1},
}
ids = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True).filter(lambda text: not is_empty_word(text))


@pytest.mark.parametrize("value", BAD_IDS.values(), ids=BAD_IDS)
def test_what_is_no_id_is_refused_with_the_name_of_its_field(value):
    with pytest.raises(InvalidArgumentError, match=r"^package_id .*Nothing was sent"):
        check_id(value, "package_id")


@given(ids)
def test_an_id_passes_unchanged(value):
    assert check_id(value, "package_id") == value


@given(st.text())
def test_a_text_passes_only_as_letters_digits_underscores_and_hyphens(value):
    try:
        checked = check_id(value, "package_id")
    except InvalidArgumentError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_-]+", checked)
    assert checked.casefold() not in ("none", "null")


@pytest.mark.parametrize("value", [*BAD_IDS.values(), "**", object(), iter(["a"])])
def test_video_ids_refuse_what_is_neither_an_id_nor_a_list_nor_a_star(value):
    with pytest.raises(InvalidArgumentError, match=r"^meeting_video_ids"):
        check_video_ids(value)


@pytest.mark.parametrize("bad", [*BAD_IDS.values(), ["a"], "*"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_list_with_one_bad_entry_is_refused_with_its_position(bad, place):
    items = ["good", "good2"]
    items.insert(place, bad)
    with pytest.raises(InvalidArgumentError, match=rf"^meeting_video_ids\[{place}\]"):
        check_video_ids(items)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("*", None),
        ("abc", ("abc",)),
        (["a", "b"], ("a", "b")),
        (("b", "a"), ("b", "a")),
        ({"b", "a"}, ("a", "b")),
        ([], ()),
        ((), ()),
        (["Ab", "aB", "c"], ("Ab", "c")),
    ],
)
def test_video_ids_say_which_or_all(value, expected):
    assert check_video_ids(value) == expected


@given(st.lists(ids))
def test_video_ids_stand_once_each_in_the_order_given(values):
    checked = check_video_ids(values)
    folded = [value.casefold() for value in checked]
    assert folded == list(dict.fromkeys(value.casefold() for value in values))


@pytest.mark.parametrize("value", ["False", "True", "", None, 0, 1, "yes"])
def test_a_flag_that_is_no_boolean_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^delete_all must be True or False"):
        require_bool(value, "delete_all")


@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_passes(value):
    assert require_bool(value, "preview") is value


@pytest.mark.parametrize("value", [0, -1, True, "4", 2.0, None])
def test_a_count_below_its_least_or_of_another_type_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^max_parallel must be a whole number of at least 1"):
        require_int(value, "max_parallel", minimum=1)


@pytest.mark.parametrize("value", [float("nan"), True, "60", None])
def test_a_point_in_time_that_no_clock_compares_with_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^end_time must be a number of seconds"):
        check_seconds(value, "end_time")


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "60", None])
def test_an_interval_that_is_no_length_of_time_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^poll_interval must be seconds, above 0"):
        check_interval(value, "poll_interval")


@pytest.mark.parametrize("value", [1, 0.5])
def test_an_interval_passes_as_seconds(value):
    assert check_interval(value, "poll_interval") == value


def test_a_choice_that_is_not_documented_is_refused_with_the_choices():
    with pytest.raises(InvalidArgumentError, match="recheck must be one of sha256, metadata"):
        check_choice("md5", "recheck", ("sha256", "metadata"))


def test_an_argument_given_as_none_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"^destination is None"):
        require_not_none(None, "destination")


@pytest.mark.parametrize("value", ["", "  ", "None", "null", None, 3])
def test_a_connection_id_that_is_empty_handed_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^iinked_sign_conn_id is empty"):
        check_conn_id(value)


@pytest.mark.parametrize("value", ["", " ", "None", None, [], ["a", ""], ["a", None], 5])
def test_a_filter_that_is_empty_handed_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^search is empty"):
        check_filter(value, "search")


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_the_mark_of_what_is_not_given_survives_copies(twin):
    assert twin(NOTSET) is NOTSET


def test_one_package_id_is_one_package_and_no_list():
    packages = check_package_ids("p")
    assert (packages.ids, packages.as_list, packages.label) == (("p",), False, "p")


def test_package_ids_keep_their_order_each_once_whatever_their_case():
    packages = check_package_ids(["b", "a", "B", "c"])
    assert (packages.ids, packages.as_list, packages.label) == (("b", "a", "c"), True, "b and 2 more")


def test_an_empty_list_of_packages_is_a_list_with_nothing_in_it():
    packages = check_package_ids([])
    assert (packages.ids, packages.as_list, packages.label) == ((), True, "no packages")


@pytest.mark.parametrize("value", [None, "", "None", 7, b"p", {"p": 1}, ["p", ""], ["p", None], [["p"]], "*"])
def test_what_is_no_package_id_is_refused_by_name(value):
    with pytest.raises(InvalidArgumentError, match=r"^package_id.*Nothing was sent"):
        check_package_ids(value)


@pytest.mark.parametrize(("given_ids", "selected"), [("*", None), ([], ())])
def test_beside_several_packages_all_recordings_or_none_are_selected(given_ids, selected):
    assert check_selection(check_package_ids(["a", "b"]), given_ids) == selected


@pytest.mark.parametrize("value", ["v", ["v"]])
def test_recordings_named_beside_several_packages_are_refused(value):
    with pytest.raises(InvalidArgumentError, match="2 packages"):
        check_selection(check_package_ids(["a", "b"]), value)


def test_recordings_named_beside_a_list_of_one_package_are_that_packages():
    assert check_selection(check_package_ids(["a"]), ["v"]) == ("v",)
