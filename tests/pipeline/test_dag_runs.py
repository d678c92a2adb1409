"""The chain as Airflow runs it: wait, download, delete in one Dag, mapped, cleared and run again."""

from __future__ import annotations

import json

import pytest

CHAIN = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    PACKAGE = "{{ dag_run.conf['package'] }}"
    with DAG("{dag_id}", schedule=None) as dag:
        wait = IinkedVideosArchivedSensor(
            task_id="wait", package_id=PACKAGE, poke_interval=0.2, timeout=30, mode="%s"
        )
        download = IinkedDownloadVideosOperator(
            task_id="download", package_id=PACKAGE, destination="{{ dag_run.conf['destination'] }}"
        )
        delete = IinkedDeleteVideosOperator(task_id="delete", verified_copies=download.output)
        wait >> download >> delete
"""

MAPPED = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
    from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator

    with DAG("{dag_id}", schedule=None) as dag:
        packages = IinkedListPackagesOperator(task_id="packages", with_archived_videos=True)
        download = IinkedDownloadVideosOperator.partial(
            task_id="download", destination="{{ dag_run.conf['destination'] }}"
        ).expand(package_id=packages.output)
        delete = IinkedDeleteVideosOperator.partial(task_id="delete").expand(verified_copies=download.output)
"""


def by_id(copies):
    return sorted(copies, key=lambda copy: copy["meeting_video_id"])


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_chain_waits_copies_and_deletes_exactly_what_it_copied(chain, run_dag, mode):
    package, videos = chain.package({}, {"archive_after": 1.0})
    chain.package({})
    digests = {video: chain.sim.sha256(video) for video in videos}

    result = run_dag(CHAIN % mode, package=package, destination=chain.destination)

    assert result.states == {"wait": "success", "download": "success", "delete": "success"}
    assert {copy["meeting_video_id"]: copy["sha256"] for copy in result.xcom("download")} == digests
    assert sorted(chain.ledger.deletions) == sorted(videos)
    assert all(record.by_id for record in chain.ledger.deletion_records)
    assert [video["meetingVideoId"] for video in result.xcom("wait")["videos"]] == videos
    assert result.xcom("wait", key="meeting_video_ids") == videos
    assert {video["state"] for video in result.xcom("delete")["videos"]} == {"deleted"}


@pytest.mark.parametrize("list_deleted", [True, False], ids=["deleted ones listed", "deleted ones dropped"])
def test_clearing_a_finished_run_ends_green_and_sends_no_deletion(chain, run_dag, list_deleted):
    chain.sim.quirks.list_deleted = list_deleted
    package, _ = chain.package({}, {})
    first = run_dag(CHAIN % "poke", package=package, destination=chain.destination)
    copies = first.xcom("download")
    sent = len(chain.ledger.delete_requests)
    names = chain.names(package)

    source = CHAIN if list_deleted else CHAIN.replace("timeout=30", "timeout=30, min_videos=0")
    second = run_dag(source % "poke", again=first, package=package, destination=chain.destination)

    assert second.states == {"wait": "success", "download": "success", "delete": "success"}
    assert by_id(second.xcom("download")) == by_id(copies)
    assert (len(chain.ledger.delete_requests), len(chain.ledger.deletions)) == (sent, 2) == (2, 2)
    assert chain.names(package) == names


def test_mapped_chain_deletes_in_each_package_what_it_copied_there(chain, run_dag):
    packages = {chain.package({}, {})[0]: 2, chain.package({})[0]: 1}
    _, (still,) = chain.package({"state": "queued"})

    result = run_dag(MAPPED, destination=chain.destination)

    assert set(result.states.values()) == {"success"}
    assert len(chain.ledger.deletions) == 3
    assert still not in chain.ledger.deletions
    by_package = [result.xcom("delete", map_index=index) for index in range(2)]
    assert {answer["packageId"]: len(answer["videos"]) for answer in by_package} == packages


def test_custody_record_and_receipt_name_dag_run_task_and_try(chain, run_dag):
    package, (video,) = chain.package({})

    result = run_dag(CHAIN % "poke", package=package, destination=chain.destination)

    record = json.loads(chain.path(package, f"{video}.custody.json").read_text())
    receipt = json.loads(chain.path(package, f"{video}.deletion.json").read_text())
    for paper, task_id in ((record, "download"), (receipt, "delete")):
        named = {key: paper[key] for key in ("dag_id", "run_id", "task_id", "map_index")}
        run = result.run
        assert named == {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": task_id, "map_index": -1}
        assert isinstance(paper["try_number"], int)


BAD = """
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    with DAG("{dag_id}", schedule=None) as dag:

        @task
        def nothing():
            return None

        @task
        def values():
            return [None, "", "None"]

        @task
        def no_list():
            return []

        gave_nothing = nothing()
        common = {"retries": 0}
        IinkedVideosArchivedSensor(task_id="wait_xcom", package_id=gave_nothing, **common)
        IinkedVideosArchivedSensor(task_id="wait_ids_xcom", package_id="p", meeting_video_ids=gave_nothing, **common)
        IinkedVideosArchivedSensor(task_id="wait_template", package_id="{{ none }}", **common)
        IinkedVideosArchivedSensor.partial(task_id="wait_mapped", **common).expand(package_id=values())
        IinkedDownloadVideosOperator(task_id="download_xcom", package_id=gave_nothing, destination="file:///tmp/x")
        IinkedDownloadVideosOperator(task_id="download_to_xcom", package_id="p", destination=gave_nothing)
        IinkedDownloadVideosOperator(
            task_id="download_template", package_id="p", destination="file:///tmp/{{ none }}/x"
        )
        IinkedDownloadVideosOperator.partial(task_id="download_mapped", package_id="p", destination="file:///tmp/x").expand(
            meeting_video_ids=values.override(task_id="values_2")()
        )
        IinkedDeleteVideosOperator(task_id="delete_xcom", package_id=gave_nothing, meeting_video_ids="v")
        IinkedDeleteVideosOperator(task_id="delete_ids_xcom", package_id="p", meeting_video_ids=gave_nothing)
        IinkedDeleteVideosOperator(task_id="delete_copies_xcom", verified_copies=gave_nothing)
        IinkedDeleteVideosOperator(task_id="delete_copies_text", verified_copies="{{ [] }}")
        IinkedDeleteVideosOperator(
            task_id="delete_narrowed_by_nothing", verified_copies=no_list(), meeting_video_ids=gave_nothing
        )
        IinkedDeleteVideosOperator(task_id="delete_template", package_id="p", meeting_video_ids="{{ none }}")
        IinkedDeleteVideosOperator(
            task_id="receipt_xcom", package_id="p", meeting_video_ids="v", receipt_destination=gave_nothing
        )
        IinkedDeleteVideosOperator.partial(task_id="delete_mapped", package_id="p").expand(
            meeting_video_ids=values.override(task_id="values_3")()
        )
        IinkedDeleteVideosOperator.partial(task_id="delete_all_mapped", delete_all=True).expand(
            package_id=values.override(task_id="values_4")()
        )
"""


def test_no_empty_handed_xcom_template_or_mapping_reaches_the_server(chain, run_dag):
    chain.package({"meeting_video_id": "v"}, package_id="p")

    result = run_dag(BAD)

    ours = {
        name: state for name, state in result.states.items() if not name.startswith(("nothing", "values", "no_list"))
    }
    assert len(ours) == 13 + 4 * 3
    assert set(ours.values()) == {"failed"}
    assert chain.ledger.requests() == []


EMPTY = """
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    with DAG("{dag_id}", schedule=None) as dag:

        @task
        def no_ids():
            return []

        ids = no_ids()
        wait = IinkedVideosArchivedSensor(task_id="wait", package_id="p", meeting_video_ids=ids)
        download = IinkedDownloadVideosOperator(
            task_id="download", package_id="p", destination="{{ dag_run.conf['destination'] }}", meeting_video_ids=ids
        )
        IinkedDeleteVideosOperator(task_id="delete", verified_copies=download.output)
        IinkedDeleteVideosOperator(task_id="delete_by_id", package_id="p", meeting_video_ids=ids)
        wait >> download
"""


def test_an_empty_list_from_an_xcom_succeeds_and_deletes_nothing(chain, run_dag):
    chain.package({}, {}, package_id="p")

    result = run_dag(EMPTY, destination=chain.destination)

    assert set(result.states.values()) == {"success"}
    assert result.xcom("download") == []
    assert chain.ledger.delete_requests == []
