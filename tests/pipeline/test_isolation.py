"""Fifty packages in one task, four of which fail: the others are done, the four are named, a retry does only those."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.simulator import Fault

PACKAGES = [f"p{number:02}" for number in range(50)]
FORBIDDEN, BAD, RETAINED, UNKNOWN = "p11", "p22", "p33", "p44"
FOUR = {FORBIDDEN, BAD, RETAINED, UNKNOWN}
GOOD = [package for package in PACKAGES if package not in FOUR]
RETENTION = {"error": "package_delete_retention", "message": "A policy forbids it."}
GROUP = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos
    from tests.pipeline.test_isolation import spoil_a_copy

    with DAG("{dag_id}", schedule=None) as dag:
        archive_and_delete_videos.override(group_id="chain", default_args={"pre_execute": spoil_a_copy})(
            package_id=PACKAGES, destination="DESTINATION", poke_interval=0.1, deferrable=DEFERRABLE
        )
"""


def video(package):
    return f"{package}-video"


@pytest.fixture
def fifty(chain):
    """Fifty packages with a recording each; one is not known to the platform, one may not be deleted."""
    for package in PACKAGES:
        if package != UNKNOWN:
            chain.package(video(package), package_id=package)
    chain.sim.faults.add(
        Fault(call="delete", kind="status", status=400, body=RETENTION, package_id=RETAINED, on="always")
    )
    return chain


def forbid(chain, package):
    """Put a file where the package's folder has to be."""
    chain.folder.mkdir(exist_ok=True)
    shutil.rmtree(chain.path(package), ignore_errors=True)
    chain.folder.joinpath(package).write_text("no folder")


def mend(chain):
    chain.folder.joinpath(FORBIDDEN).unlink()
    chain.sim.faults.clear()
    chain.package(video(UNKNOWN), package_id=UNKNOWN)


def spoil_a_copy(context):
    """Change one copy between download and deletion; runs in the deletion's task."""
    if context["ti"].task_id.endswith("delete"):
        Path(context["params"]["folder"], BAD, f"{video(BAD)}.mp4").write_bytes(b"something else")


def fetched(chain):
    return {request.video_id for request in chain.ledger.requests(host="recordings")}


@pytest.mark.parametrize("max_parallel", [1, 4])
def test_a_download_copies_all_but_those_that_fail_and_names_each_with_reason_and_remedy(fifty, max_parallel):
    forbid(fifty, FORBIDDEN)
    with pytest.raises(exceptions.IinkedSignError) as caught:
        fifty.download(PACKAGES, max_parallel=max_parallel)
    said = str(caught.value)
    assert "2 of 50 packages failed" in said
    assert f"[{UNKNOWN}] " in said
    assert f"[{FORBIDDEN}] " in said
    assert "Clearing the task is safe" in said
    whole = {package for package in PACKAGES if len(fifty.names(package) if package != FORBIDDEN else ()) == 2}
    assert whole == set(PACKAGES) - {UNKNOWN, FORBIDDEN}

    mend(fifty)
    fifty.ledger.clear()
    assert len(fifty.download(PACKAGES)) == 50
    assert fetched(fifty) == {video(UNKNOWN), video(FORBIDDEN)}


@pytest.fixture
def copied(fifty):
    """The copies of all fifty, one of which was made before its package was forgotten by the platform."""
    fifty.package(video(UNKNOWN), package_id=UNKNOWN)
    copies = fifty.download(PACKAGES)
    fifty.path(BAD, f"{video(BAD)}.mp4").write_bytes(b"something else")
    forbid(fifty, FORBIDDEN)
    missing = {"error": "package_not_found", "message": "No such package."}
    fifty.sim.faults.add(Fault(call="list", kind="status", status=404, body=missing, package_id=UNKNOWN, on="always"))
    fifty.ledger.clear()
    return fifty, copies


@pytest.mark.parametrize("max_parallel", [1, 8])
def test_a_deletion_deletes_all_but_those_that_fail_and_names_each_with_reason_and_remedy(copied, max_parallel):
    chain, copies = copied
    with pytest.raises(exceptions.IinkedSignError) as caught:
        chain.delete(verified_copies=copies, max_parallel=max_parallel)
    said = str(caught.value)
    assert "46 of 50 packages have no error" in said
    for package in FOUR:
        assert f"Package {package}: " in said
    for reason in ("package_delete_retention", "package_not_found", "sha256", "NotADirectory"):
        assert reason in said
    assert "Clearing the task is safe" in said
    assert not [package for package in GOOD if f"Package {package}: " in said]
    assert sorted(chain.ledger.deletions) == [video(package) for package in GOOD]

    chain.sim.faults.clear()
    chain.ledger.clear()
    with pytest.raises(exceptions.IinkedSignError, match="48 of 50 packages have no error"):
        chain.delete(verified_copies=copies)
    assert {request.video_id for request in chain.ledger.delete_requests} == {video(RETAINED), video(UNKNOWN)}


@pytest.mark.parametrize("max_parallel", [1, 8])
def test_an_answer_that_names_a_recording_not_requested_stops_all_packages_at_once(fifty, max_parallel):
    copies = fifty.download([package for package in PACKAGES if package != UNKNOWN])
    fifty.sim.add_video("p05", "p05-other")
    fifty.sim.faults.add(Fault(call="delete", kind="delete_all_instead", package_id="p05"))
    with pytest.raises(exceptions.UnrequestedDeletionError, match="p05-other"):
        fifty.delete(verified_copies=copies, max_parallel=max_parallel)
    assert {request.package_id for request in fifty.ledger.delete_requests} == set(PACKAGES[:6])


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_whole_chain_does_46_of_50_packages_and_a_second_run_does_the_rest(fifty, run_dag, deferrable):
    forbid(fifty, FORBIDDEN)
    text = GROUP.replace("PACKAGES", repr(PACKAGES)).replace("DESTINATION", fifty.destination)
    text = text.replace("DEFERRABLE", str(deferrable))

    first = run_dag(text.replace("schedule=None", f"schedule=None, params={{'folder': {str(fifty.folder)!r}}}"))

    states = {name.removeprefix("chain."): state for name, state in first.states.items()}
    assert states == {"wait": "failed", "download": "failed", "delete": "failed", "done": "upstream_failed"}
    assert first.state == "failed"
    assert sorted(fifty.ledger.deletions) == [video(package) for package in GOOD]
    assert first.xcom("chain.wait", "package_id") == [package for package in PACKAGES if package != UNKNOWN]

    mend(fifty)
    fifty.path(BAD, f"{video(BAD)}.mp4").unlink()
    fifty.ledger.clear()
    again = run_dag(text.replace(', default_args={"pre_execute": spoil_a_copy}', ""), again=first)
    assert again.state == "success"
    assert sorted(fifty.ledger.deletions) == sorted(video(package) for package in FOUR)
    assert {request.video_id for request in fifty.ledger.delete_requests} == {video(package) for package in FOUR}
    assert fetched(fifty) == {video(FORBIDDEN), video(BAD), video(UNKNOWN)}
