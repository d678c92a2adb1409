"""The example of the API's documents: the same request on the wire, the same response in the XCom."""

from __future__ import annotations

import json

from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

PACKAGE = "c603079c-2dc7-4af7-8c2e-dc992662621c"
VIDEO = "4c512b8a-c1ad-47da-ae22-5a61115505e3"
REQUEST = {"packageId": PACKAGE, "meetingVideoId": VIDEO}
RESPONSE = json.loads("""
{
    "packageId": "c603079c-2dc7-4af7-8c2e-dc992662621c",
    "videos": [
        {
            "meetingVideoId": "4c512b8a-c1ad-47da-ae22-5a61115505e3",
            "meetingId": "0f2f4065-3d07-4fd5-96e8-13b3f77a7c9d",
            "timeCreated": "2019-08-20T18:57:33.541Z",
            "timeRetention": null,
            "timeDeleted": "2019-08-20T18:58:02.2596573Z",
            "duration": "PT6S",
            "size": 484524,
            "type": "video",
            "state": "deleted",
            "url": null,
            "timeUrlExpires": null
        }
    ]
}
""")

DAG = f"""
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator

    with DAG("{{dag_id}}", schedule=None) as dag:
        IinkedDeleteVideosOperator(task_id="delete", package_id="{PACKAGE}", meeting_video_ids="{VIDEO}")
"""


def test_the_operators_request_and_answer_are_those_of_the_documents(chain):
    chain.sim.add_seed_example()
    answer = chain.delete(package_id=PACKAGE, meeting_video_ids=VIDEO)
    (request,) = chain.ledger.delete_requests
    assert (request.method, request.body) == ("POST", REQUEST)
    assert request.path == f"/api/v1/packages/{PACKAGE}/videos/delete"
    assert answer == RESPONSE


def test_the_short_path_of_the_documents_example_gets_the_same_body(chain):
    chain.sim.add_seed_example()
    chain.sim.quirks.delete_paths = "short"
    assert chain.delete(package_id=PACKAGE, meeting_video_ids=VIDEO) == RESPONSE
    asked = [(request.path, request.body) for request in chain.ledger.delete_requests]
    assert asked[-1] == ("/api/v1/packages/videos/delete", REQUEST)


def test_the_xcom_of_a_dag_run_is_the_documents_response(chain, run_dag):
    chain.sim.add_seed_example()
    assert run_dag(DAG).xcom("delete") == RESPONSE


def test_the_hook_gives_the_answer_as_it_is(chain):
    chain.sim.add_seed_example()
    assert IinkedSignHook().delete_video(PACKAGE, VIDEO) == RESPONSE


def test_the_copy_then_delete_chain_ends_with_the_documents_response(chain):
    chain.sim.add_seed_example()
    copies = chain.download(PACKAGE)
    assert chain.delete(verified_copies=copies) == RESPONSE
    assert copies[0]["size"] == 484524
