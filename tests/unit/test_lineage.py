"""Lineage and asset events: what others learn of a copy and of a deletion, and that it holds no secret."""

from __future__ import annotations

import json

import pytest

from airflow_provider_iinked.lineage import asset_uri, object_dataset, video_dataset
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("file:///data/p/v.mp4", ("file", "/data/p/v.mp4")),
        ("s3://aws_prod@bucket/a/p/v.mp4", ("s3://bucket", "a/p/v.mp4")),
        ("gs://bucket/v.mp4", ("gs://bucket", "v.mp4")),
        ("s3a://aws_prod@bucket/a/v.mp4", ("s3://bucket", "a/v.mp4")),
        ("gcs://conn@bucket/a/v.mp4", ("gs://bucket", "a/v.mp4")),
        ("abfs://container/a/v.mp4", ("abfss://container", "/a/v.mp4")),
        ("sftp://conn@host/data/v.mp4", ("sftp://host", "data/v.mp4")),
    ],
)
def test_a_copy_is_named_without_its_connection(uri, names):
    assert object_dataset(uri) == names


def test_copies_have_the_names_that_the_openlineage_client_gives_them():
    naming = pytest.importorskip("openlineage.client.naming.dataset", reason="this client names no datasets")
    for theirs, uri in [
        (naming.S3("bucket", "a/v.mp4"), "s3a://conn@bucket/a/v.mp4"),
        (naming.GCS("bucket", "a/v.mp4"), "gcs://conn@bucket/a/v.mp4"),
        (naming.LocalFileSystem("/data/v.mp4"), "file:///data/v.mp4"),
    ]:
        assert object_dataset(uri) == (theirs.get_namespace(), theirs.get_name())


@pytest.mark.parametrize(
    "connection",
    [
        {"extra": {"connection_string": "DefaultEndpointsProtocol=https;AccountName=evidence;AccountKey=aGVsbG8="}},
        {"host": "https://evidence.blob.core.windows.net/"},
        {"host": "evidence.blob.core.windows.net"},
        {"login": "evidence"},
    ],
    ids=["connection string", "url", "host", "login"],
)
def test_a_blob_is_named_by_container_and_account(connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BLOBS", json.dumps({"conn_type": "wasb", **connection}))
    naming = pytest.importorskip("openlineage.client.naming.dataset", reason="this client names no datasets")
    theirs = naming.ABFSS("container", "evidence", "/a/v.mp4")
    assert object_dataset("abfs://blobs@container/a/v.mp4") == (theirs.get_namespace(), theirs.get_name())


@pytest.mark.parametrize(
    ("uri", "asset"),
    [
        ("file:///data/p", "file:///data/p"),
        ("s3://aws_prod@bucket/a/p", "s3://bucket/a/p"),
        ("s3://bucket", "s3://bucket/"),
    ],
)
def test_a_folder_is_an_asset_without_its_connection(uri, asset):
    assert asset_uri(uri) == asset


def test_a_recording_is_named_by_its_data_centre():
    names = video_dataset("https://sign.syngrafii.eu/api/v1", "p", "v")
    assert names == ("iinked-sign://sign.syngrafii.eu", "packages/p/videos/v")


@pytest.fixture
def openlineage():
    return pytest.importorskip("airflow.providers.openlineage.extractors")


def told(lineage):
    from openlineage.client.serde import Serde

    return {"in": [Serde.to_dict(d) for d in lineage.inputs], "out": [Serde.to_dict(d) for d in lineage.outputs]}


def test_a_download_tells_openlineage_source_copy_size_and_hash(chain, openlineage):
    package, (video,) = chain.package({"size": 100_000})
    task = IinkedDownloadVideosOperator(task_id="download", package_id=package, destination=chain.destination)
    copy = task.execute({})[0]
    lineage = told(task.get_openlineage_facets_on_complete(None))
    assert [(d["namespace"], d["name"]) for d in lineage["in"]] == [video_dataset(chain.sim.api_base, package, video)]
    (out,) = lineage["out"]
    assert (out["namespace"], out["name"]) == object_dataset(copy["uri"])
    assert out["outputFacets"]["outputStatistics"]["size"] == 100_000
    assert out["facets"]["version"]["datasetVersion"] == f"sha256:{chain.sim.sha256(video)}"
    assert "access=" not in json.dumps(lineage)


def test_a_guarded_deletion_tells_openlineage_what_went_and_what_it_rested_on(chain, openlineage):
    package, (video,) = chain.package({})
    copies = chain.download(package)
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies)
    task.execute({})
    lineage = told(task.get_openlineage_facets_on_complete(None))
    assert [(d["namespace"], d["name"]) for d in lineage["in"]] == [object_dataset(copies[0]["uri"])]
    (out,) = lineage["out"]
    assert (out["namespace"], out["name"]) == video_dataset(chain.sim.api_base, package, video)
    assert out["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "DROP"


def test_a_preview_tells_openlineage_nothing(chain):
    package, _ = chain.package({})
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=chain.download(package), preview=True)
    task.execute({})
    assert task.get_openlineage_facets_on_complete(None) is None


def test_hook_lineage_learns_of_a_copy(chain, monkeypatch):
    from airflow.providers.common.compat import sdk

    class Collector:
        """In the place of Airflow's own, which listens only where a lineage plugin is installed."""

        def __init__(self):
            self.inputs, self.outputs = [], []

        def add_input_asset(self, context, uri):
            self.inputs.append(uri)

        def add_output_asset(self, context, uri):
            self.outputs.append(uri)

    collector = Collector()
    monkeypatch.setattr(sdk, "get_hook_lineage_collector", lambda: collector, raising=False)
    package, (video,) = chain.package({})
    copies = chain.download(package)
    assert collector.inputs == ["/".join(video_dataset(chain.sim.api_base, package, video))]
    assert collector.outputs == [copies[0]["uri"]]


EVENTS = """
    from airflow.providers.common.compat.sdk import DAG, AssetAlias
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator

    with DAG("{dag_id}", schedule=None) as dag:
        download = IinkedDownloadVideosOperator.partial(
            task_id="download", destination="%s", outlets=[AssetAlias("iinked_copied")]
        ).expand(package_id=%s)
        preview = IinkedDeleteVideosOperator.partial(
            task_id="preview", preview=True, outlets=[AssetAlias("iinked_previewed")]
        ).expand(verified_copies=download.output)
        delete = IinkedDeleteVideosOperator.partial(
            task_id="delete", outlets=[AssetAlias("iinked_deleted")]
        ).expand(verified_copies=download.output)
        preview >> delete
    if hasattr(dag, "sync_to_db"):
        dag.sync_to_db()  # Airflow 2 learns of aliases when it processes a Dag file, which dag.test() leaves out
"""


def events(run):
    from airflow.utils.session import create_session
    from sqlalchemy import inspect, text

    with create_session() as session:
        kind = "asset" if "asset_event" in inspect(session.get_bind()).get_table_names() else "dataset"
        rows = session.execute(
            text(
                f"select e.source_task_id, a.uri, e.extra from {kind}_event e join {kind} a on a.id = e.{kind}_id "
                "where e.source_run_id = :run order by e.id"
            ),
            {"run": run.run_id},
        )
        return [(task_id, uri, json.loads(extra)) for task_id, uri, extra in rows]


def test_each_package_whose_copies_were_verified_is_an_event_and_a_preview_is_none(chain, run_dag):
    first, second, empty = chain.package({"size": 100_000})[0], chain.package({}, {})[0], chain.package()[0]
    result = run_dag(EVENTS % (chain.destination, [first, second, empty]))
    seen = events(result.run)
    assert {uri for _, uri, _ in seen} == {chain.destination}
    assert {(task_id, extra["package_id"], extra["videos"]) for task_id, _, extra in seen} == {
        ("download", first, 1),
        ("download", second, 2),
        ("delete", first, 1),
        ("delete", second, 2),
    }
    assert len(seen) == 4
    assert {extra["bytes"] for task_id, _, extra in seen if task_id == "download"} == {100_000, 400_000}
    assert {type(value) for _, _, extra in seen for value in extra.values()} == {str, int}
    assert "access=" not in repr(seen)
