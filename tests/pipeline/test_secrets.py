"""Key and signed URLs in no log, record, exception or XCom; before Airflow's masking, and with failures in between."""

from __future__ import annotations

import logging
import traceback

import pytest

from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.simulator import Fault

FAULTS = [
    [],
    [Fault(call="recording", kind="cut", after=100_000), Fault(call="recording", kind="reset", on=2)],
    [Fault(call="recording", kind="expire", after=100_000)],
    [Fault(call="recording", kind="status", status=500, on="always")],
    [Fault(call="recording", kind="status", status=403, body="<h1>no</h1>", on="always")],
    [Fault(call="recording", kind="reset", on="always")],
    [Fault(call="recording", kind="html", on="always")],
    [Fault(call="recording", kind="redirect", status=302)],
    [Fault(call="recording", kind="redirect", status=302, location="ftp://127.0.0.1/x?access=unfollowed", on="always")],
    [Fault(call="list", kind="reset", on="always")],
    [Fault(call="list", kind="status", status=500, on="first")],
    [Fault(call="list", kind="status", status=401, on="always")],
    [Fault(call="list", kind="broken_json", on="always")],
    [Fault(call="list", kind="redirect", status=302, on="always")],
    [Fault(call="delete", kind="lost_answer")],
    [Fault(call="delete", kind="redirect", status=307, on="always")],
    [Fault(call="delete", kind="status", status=500, on="always")],
    [Fault(call="delete", kind="status", status=403, on="always")],
    [Fault(call="delete", kind="delete_all_instead")],
]


@pytest.fixture
def spied(chain, caplog):
    """All tokens that the simulator gave out, and all that was logged at DEBUG, unmasked."""
    caplog.set_level(logging.DEBUG)
    tokens = []
    really = chain.sim._store.mint

    def mint(*arguments):
        tokens.append(really(*arguments))
        return tokens[-1]

    chain.sim._store.mint = mint
    return chain, tokens, caplog


def everything_told(chain, caplog, told):
    formatter = logging.Formatter("%(message)s")
    lines = [formatter.format(record) for record in caplog.records]
    papers = [path.read_text() for path in chain.folder.rglob("*.json")] if chain.folder.exists() else []
    names = [str(path) for path in chain.folder.rglob("*")] if chain.folder.exists() else []
    return "\n".join([*lines, *papers, *names, *told])


@pytest.mark.parametrize("auth_type", ["api_key", "bearer"])
@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: "-".join(f"{f.call} {f.kind}" for f in faults) or "none")
def test_the_whole_chain_tells_no_secret(spied, connect, faults, auth_type):
    chain, tokens, caplog = spied
    connect(timeout=2, max_retries=1, auth_type=auth_type)
    chain.package("v", "w", package_id="p")
    chain.sim.faults.add(*faults)
    told = []

    def run(task):
        try:
            told.append(repr(task()))
        except IinkedSignError as error:
            told.append("".join(traceback.format_exception(error)))

    run(lambda: chain.wait("p", timeout=3, max_consecutive_errors=1))
    run(lambda: chain.download("p"))
    chain.sim.faults.clear()
    copies = chain.download("p")
    told.append(repr(copies))
    chain.sim.faults.add(*faults)
    run(lambda: chain.delete(verified_copies=copies))

    text = everything_told(chain, caplog, told)
    assert tokens
    assert "http://127.0.0.1" in text, "urllib3 logs at DEBUG"
    assert "iinked Sign API" in text
    assert [token for token in tokens if token in text] == []
    assert chain.sim.api_key not in text
    assert "access=" not in text
    assert "unfollowed" not in text


def test_an_api_that_repeats_the_key_in_its_error_does_not_get_it_shown(spied):
    chain, _, caplog = spied
    body = {"error": f"bad_{chain.sim.api_key}", "message": f"The key {chain.sim.api_key} is odd."}
    chain.sim.faults.add(Fault(call="list", kind="status", status=400, body=body, on="always"))
    with pytest.raises(IinkedSignError) as caught:
        chain.download("p")
    assert chain.sim.api_key not in everything_told(chain, caplog, [str(caught.value), repr(caught.value.error_code)])


CHAIN = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    with DAG("{dag_id}", schedule=None) as dag:
        wait = IinkedVideosArchivedSensor(task_id="wait", package_id="p", poke_interval=0.2, timeout=30)
        download = IinkedDownloadVideosOperator(
            task_id="download", package_id="p", destination="{{ dag_run.conf['destination'] }}"
        )
        delete = IinkedDeleteVideosOperator(task_id="delete", verified_copies=download.output)
        wait >> download
"""


def test_no_secret_lies_in_the_xcoms_of_a_dag_run(spied, run_dag):
    chain, tokens, _ = spied
    chain.package("v", package_id="p")
    result = run_dag(CHAIN, destination=chain.destination)
    assert set(result.states.values()) == {"success"}
    text = result.xcom_texts()
    assert "meetingVideoId" in text
    assert [secret for secret in (*tokens, chain.sim.api_key, "access=") if secret in text] == []


@pytest.mark.parametrize("field", ["thumbnailUrl", "playbackLinks"])
def test_a_signed_address_in_an_undocumented_field_is_not_passed_on(chain, paper, field):
    url = "https://cdn.example/t.png?sig=undocumented-token-value"
    chain.sim.quirks.extra_fields = {field: [url] if field.endswith("s") else url}
    chain.package("v", package_id="p")
    waited = chain.wait("p")
    copies = chain.download("p")
    deleted = chain.delete(verified_copies=copies)
    papers = [path.read_text() for path in chain.folder.rglob("*.json")]
    assert "undocumented-token-value" not in f"{waited} {copies} {deleted} {papers}"


def test_no_signature_of_three_hundred_recordings_is_told_at_debug(spied, connect, monkeypatch):
    """Airflow is asked to mask the first hundred only; so nothing may tell one, masked or not."""
    chain, tokens, caplog = spied
    monkeypatch.setattr("airflow_provider_iinked.download.log_masking.mask_secret", lambda secret: None)
    connect(timeout=2, max_retries=1)
    package, _ = chain.package(*({"size": 5000} for _ in range(300)))
    faults = ("cut", "reset", "expire", "stall", "redirect")
    for number, kind in enumerate(faults):
        chain.sim.faults.add(
            Fault(call="recording", kind=kind, on=range(number + 1, 300, 10), after=900, seconds=0.01, status=302)
        )
    told = []
    for _ in range(2):
        try:
            told.append(repr(chain.download(package, max_parallel=8)))
        except IinkedSignError as error:
            told.append("".join(traceback.format_exception(error)))
    chain.sim.faults.clear()
    copies = chain.download(package, max_parallel=8)
    assert len(copies) == 300
    text = everything_told(chain, caplog, [*told, repr(copies)])
    assert len(set(tokens)) >= 300
    assert "http://127.0.0.1" in text, "urllib3 logs at DEBUG"
    assert [token for token in tokens if token in text] == []
    assert "access=" not in text


def test_what_holds_a_signed_url_does_not_show_it(chain):
    """Such as a traceback with the values of its variables."""
    import requests

    from airflow_provider_iinked.download.http import RecordingHost, RecordingHosts
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

    chain.package("v", package_id="p")
    hook = IinkedSignHook()
    (video,) = hook.list_videos("p")
    assert "access=" in video.url
    stream = RecordingHost(5.0, RecordingHosts()).open(video.url, {})
    for holder in (video, hook, stream, hook.list_videos("p"), video.public_fields()):
        assert "access=" not in repr(holder)
    hook.close()
    assert isinstance(hook.get_conn(), requests.Session)
