"""Links: where they lead, and that each task instance has its own."""

from __future__ import annotations

import pytest

from airflow_provider_iinked.get_provider_info import get_provider_info
from airflow_provider_iinked.links import COPIES_KEY, WEB_KEY, IinkedSignLink, StoredCopiesLink
from airflow_provider_iinked.operators.custody import IinkedVerifyCopiesOperator
from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor
from airflow_provider_iinked.storage import console_url


@pytest.mark.parametrize(
    ("folder", "page"),
    [
        ("s3://aws_prod@bucket/a b/p-1", "https://console.aws.amazon.com/s3/buckets/bucket?prefix=a%20b/p-1/"),
        ("s3://bucket", "https://console.aws.amazon.com/s3/buckets/bucket"),
        ("gs://google@bucket/a/p-1", "https://console.cloud.google.com/storage/browser/bucket/a/p-1"),
        ("abfs://azure@box/a/p-1", "https://portal.azure.com/#browse/Microsoft.Storage%2FStorageAccounts"),
        ("file:///data/p-1", None),
        ("sftp://server/data", None),
    ],
)
def test_console_page_of_a_folder(folder, page, s3_keys, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_PROD", '{"conn_type": "aws"}')
    assert console_url(folder) == page


@pytest.mark.parametrize(
    "operator",
    [
        IinkedVideosArchivedSensor,
        IinkedDownloadVideosOperator,
        IinkedDeleteVideosOperator,
        IinkedListPackagesOperator,
        IinkedVerifyCopiesOperator,
    ],
)
def test_every_link_of_an_operator_is_registered(operator):
    registered = get_provider_info()["extra-links"]
    links = [f"{type(link).__module__}.{type(link).__qualname__}" for link in operator.operator_extra_links]
    assert links
    assert set(links) <= set(registered)


class Pushed:
    """What a task instance is told; the rest of it is not looked at."""

    def __init__(self):
        self.xcoms = {}
        self.map_index = -1

    def xcom_push(self, key, value):
        self.xcoms[key] = value


@pytest.fixture
def s3_keys(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


def push(folder):
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
    from airflow_provider_iinked.links import push_links

    ti = Pushed()
    push_links({"ti": ti}, None, IinkedSignHook(), folder)
    return ti.xcoms


def test_a_store_of_amazon_gets_a_link(s3_keys):
    assert push("s3://bucket/p-1")[COPIES_KEY].startswith("https://console.aws.amazon.com/")


def test_a_store_with_an_endpoint_of_its_own_gets_none(s3_keys, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MINIO", '{"conn_type": "aws", "extra": {"endpoint_url": "http://minio:9000"}}')
    assert push("s3://minio@bucket/p-1")[COPIES_KEY] == ""


def test_a_task_that_never_spoke_to_the_platform_has_no_link_to_it(s3_keys):
    from airflow_provider_iinked.links import push_links

    ti = Pushed()
    push_links({"ti": ti}, None, None, "s3://bucket/copies")
    assert ti.xcoms == {COPIES_KEY: "https://console.aws.amazon.com/s3/buckets/bucket?prefix=copies/"}


def test_no_connection_is_looked_up_for_a_link_alone(iinked_simulator):
    assert push("file:///data/p-1") == {WEB_KEY: "", COPIES_KEY: ""}


def test_a_link_without_a_connection_fails_no_task(s3_keys):
    assert push("s3://no_such_connection@bucket/p-1")[COPIES_KEY] == ""


CHAIN = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    with DAG("{dag_id}", schedule=None) as dag:
        wait = IinkedVideosArchivedSensor.partial(task_id="wait", poke_interval=1).expand(package_id=%s)
        download = IinkedDownloadVideosOperator.partial(task_id="download", destination="%s").expand(package_id=%s)
        wait >> download
"""


def test_links_of_mapped_tasks_lead_to_what_each_task_used(chain, run_dag):
    packages = [chain.package("v1")[0], chain.package("v2")[0]]
    result = run_dag(CHAIN % (packages, chain.destination, packages))
    assert result.state == "success"
    web = chain.sim.api_base.removesuffix("/api/v1")
    assert shown(result, "wait", IinkedSignLink()) == [web, web]
    assert shown(result, "download", IinkedSignLink()) == [web, web]
    assert shown(result, "download", StoredCopiesLink()) == ["", ""]


def shown(result, task_id, link):
    """What Airflow's page shows for each mapped task."""
    if hasattr(link, "xcom_key"):  # Airflow 3: settled by the task, shown from its XCom
        return [result.xcom(task_id, link.xcom_key, map_index) for map_index in (0, 1)]
    keys = sorted(ti.key for ti in result.run.get_task_instances() if ti.task_id == task_id)
    return [link.get_link(None, ti_key=key) for key in keys]
