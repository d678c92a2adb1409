"""No bad id reaches the server: in the sensor, the download and the deletion, by literal and by template."""

from __future__ import annotations

import re

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

BAD = {
    "empty": "",
    "blank": " ",
    "None": None,
    "text None": "None",
    "text null": "null",
    "number": 5,
    "number as text of a float": 1e5,
    "path up": "../x",
    "slash": "a/b",
    "query": "a?b",
    "newline": "a\nb",
}
# A list is one bad id too many where one id is asked for, and a bad list where several are.
BAD_LISTS = {f"list with {name}": ["good", value] for name, value in BAD.items()}


def wait(**changed):
    arguments = {"package_id": "p", "meeting_video_ids": "*", "timeout": 1, "poke_interval": 0.1, **changed}
    return IinkedVideosArchivedSensor(task_id="wait", **arguments)


def download(**changed):
    arguments = {"package_id": "p", "meeting_video_ids": "*", "destination": "file:///nowhere/at/all", **changed}
    return IinkedDownloadVideosOperator(task_id="download", **arguments)


def delete(**changed):
    return IinkedDeleteVideosOperator(task_id="delete", **{"package_id": "p", "meeting_video_ids": "v", **changed})


def delete_everything(**changed):
    return IinkedDeleteVideosOperator(task_id="delete", delete_all=True, **changed)


def delete_copies(**changed):
    return IinkedDeleteVideosOperator(task_id="delete", **{"verified_copies": [], **changed})


PLACES = {
    "wait for a package": (wait, "package_id"),
    "wait for recordings": (wait, "meeting_video_ids"),
    "download a package": (download, "package_id"),
    "download recordings": (download, "meeting_video_ids"),
    "delete in a package": (delete, "package_id"),
    "delete recordings": (delete, "meeting_video_ids"),
    "delete all of a package": (delete_everything, "package_id"),
    "delete copies of a package": (delete_copies, "package_id"),
    "delete copies of recordings": (delete_copies, "meeting_video_ids"),
}


@pytest.fixture
def server(chain):
    chain.package("v", "good", package_id="p")
    return chain


def refused(server, build, field, value, render=None):
    def run():
        task = build(**{field: value})
        if render is not None:
            task.render_template_fields(render)
        return task.execute({})

    with pytest.raises(InvalidArgumentError, match=rf"^{field}"):
        run()
    assert server.ledger.requests() == []


@pytest.mark.parametrize("bad", [*BAD.values(), *BAD_LISTS.values()], ids=[*BAD, *BAD_LISTS])
@pytest.mark.parametrize(("build", "field"), PLACES.values(), ids=PLACES)
def test_a_bad_id_as_a_literal_reaches_no_server_and_is_named(server, build, field, bad):
    refused(server, build, field, bad)


# As text a number is an id like any other; as a native object an id can turn into a number.
RENDERED = [
    (bad, native) for bad in BAD.values() for native in (False, True) if native or not isinstance(bad, (int, float))
]


@pytest.mark.parametrize(("bad", "native"), RENDERED)
@pytest.mark.parametrize(("build", "field"), PLACES.values(), ids=PLACES)
def test_a_bad_id_from_a_template_reaches_no_server_and_is_named(server, build, field, bad, native):
    def in_dag(**arguments):
        with DAG("native", schedule=None, render_template_as_native_obj=native):
            return build(**arguments)

    refused(server, in_dag, field, "{{ value }}", render={"value": bad})


@pytest.mark.parametrize(("build", "field"), PLACES.values(), ids=PLACES)
def test_a_template_that_was_never_rendered_reaches_no_server(server, build, field):
    refused(server, build, field, "{{ params.package }}")


BAD_DESTINATIONS = ["", " ", "None", "null", "/data", "data", "file:///a/None/b", "file:///{{ x }}", "memory://x", 5]


@pytest.mark.parametrize(
    ("build", "field", "bad"),
    [
        (download, "destination", None),
        *((download, "destination", bad) for bad in BAD_DESTINATIONS),
        *((delete, "receipt_destination", bad) for bad in BAD_DESTINATIONS),
    ],
)
def test_a_bad_destination_reaches_no_server_and_is_named(server, build, field, bad):
    refused(server, build, field, bad)


def test_a_receipt_destination_that_turns_out_as_none_is_refused(server):
    def build(receipt_destination):
        with DAG("native", schedule=None, render_template_as_native_obj=True):
            return delete(receipt_destination=receipt_destination)

    refused(server, build, "receipt_destination", "{{ value }}", render={"value": None})


@pytest.mark.parametrize("bad", [None, "", "None", "[]", 5, [None], ["v"], [{}]])
def test_bad_verified_copies_reach_no_server_and_are_named(server, bad):
    refused(server, delete_copies, "verified_copies", bad)


@pytest.mark.parametrize("bad", [None, "", " ", "None", "null"])
@pytest.mark.parametrize("build", [wait, download, delete])
def test_an_empty_handed_connection_id_is_named(server, build, bad):
    refused(server, build, "iinked_sign_conn_id", bad)


@pytest.mark.parametrize("name", ["member_id", "team_id", "folder_id", "search", "types", "states", "sort_by"])
@pytest.mark.parametrize("bad", [None, "", " ", "None", "null"])
def test_an_empty_handed_filter_reaches_no_server_and_is_named(server, name, bad):
    def build(**arguments):
        return IinkedListPackagesOperator(task_id="packages", **arguments)

    refused(server, build, name, bad)


@pytest.mark.parametrize("text", ["False", "True", "{{ params.all }}"])
@pytest.mark.parametrize("name", ["delete_all", "preview"])
def test_a_text_is_no_switch(server, name, text):
    refused(server, delete, name, text)


def test_switches_are_never_templates():
    assert not {"delete_all", "preview"} & set(IinkedDeleteVideosOperator.template_fields)


NO_WAY = [{}, {"package_id": "p"}, {"meeting_video_ids": "v"}, {"delete_all": True}]
TWO_WAYS = [
    {"package_id": "p", "delete_all": True, "meeting_video_ids": "v"},
    {"package_id": "p", "delete_all": True, "meeting_video_ids": []},
    {"package_id": "p", "delete_all": True, "verified_copies": []},
]


@pytest.mark.parametrize("arguments", NO_WAY + TWO_WAYS)
def test_none_or_two_ways_to_say_what_fail_when_the_dag_is_parsed(arguments):
    with pytest.raises(InvalidArgumentError, match="Nothing was sent"):
        IinkedDeleteVideosOperator(task_id="delete", **arguments)


def test_a_star_alone_is_refused_however_it_got_there(server):
    task = delete(meeting_video_ids="{{ '*' }}")
    task.render_template_fields({})
    with pytest.raises(InvalidArgumentError, match="Say what is to be deleted"):
        task.execute({})
    assert server.ledger.requests() == []


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_list_waits_for_nothing_and_succeeds(server, empty):
    assert wait(meeting_video_ids=empty).execute({}) == {"packageId": "p", "videos": []}


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_list_copies_nothing_and_succeeds(server, empty):
    assert server.download("p", meeting_video_ids=empty) == []
    assert not server.folder.exists()


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"package_id": "p", "meeting_video_ids": []},
        {"package_id": "p", "meeting_video_ids": [], "receipt_destination": "file:///nowhere/at/all"},
        {"verified_copies": []},
        {"verified_copies": [[], []]},
        {"verified_copies": [], "package_id": "p"},
        {"verified_copies": [], "meeting_video_ids": []},
    ],
)
def test_an_empty_list_deletes_nothing_and_succeeds(server, arguments, preview):
    answer = server.delete(preview=preview, **arguments)
    assert answer["videos"] == []
    assert server.ledger.delete_requests == []
    assert server.ledger.deletions == []


def test_the_empty_list_narrows_copies_to_nothing(server):
    copies = server.download("p")
    server.delete(verified_copies=copies, meeting_video_ids=[])
    assert server.ledger.deletions == []


def test_the_table_covers_every_templated_id():
    templated = {
        (build.__name__, name)
        for build, kind in ((wait, IinkedVideosArchivedSensor), (download, IinkedDownloadVideosOperator))
        for name in kind.template_fields
        if re.search("_ids?$", name) and "conn" not in name
    }
    assert templated <= {(build.__name__, field) for build, field in PLACES.values()}
