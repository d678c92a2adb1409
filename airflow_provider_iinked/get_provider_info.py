"""What Airflow's provider discovery reads: modules, the connection type and its form. Imports nothing heavy."""

from __future__ import annotations

from typing import Any, Final

CONN_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "environment": {
        "label": "Environment",
        "description": "Data centre, used when Host is empty. A host of another data centre is refused.",
        "schema": {"type": ["string", "null"], "enum": ["us", "ca", "eu", "sandbox-us", "sandbox-eu"]},
    },
    "auth_type": {
        "label": "Auth Type",
        "description": "api_key (the default when empty) for an API key, bearer for an OAuth access token.",
        "schema": {"type": ["string", "null"], "enum": ["api_key", "bearer"]},
    },
    "timeout": {
        "label": "Timeout",
        "description": "Seconds for connecting and for each read; 30 when empty.",
        "schema": {"type": ["number", "null"]},
    },
    "max_retries": {
        "label": "Max Retries",
        "description": "How often a request that may be repeated is tried again; 5 when empty.",
        "schema": {"type": ["integer", "null"]},
    },
    "max_requests_per_second": {
        "label": "Max Requests per Second",
        "description": "Ceiling that all waits of one triggerer share; none when empty.",
        "schema": {"type": ["number", "null"]},
    },
}

UI_FIELD_BEHAVIOUR: Final[dict[str, Any]] = {
    "hidden_fields": ["login", "port", "schema"],
    "relabeling": {"host": "Host", "password": "API Key"},
    "placeholders": {
        "host": "https://sign.syngrafii.com/api/v1 (or choose an environment)",
        "password": "API key, or with auth type bearer the access token",
    },
}


def get_provider_info() -> dict[str, Any]:
    """
    Return the provider's description.

    :return: a mapping that fits Airflow's ``provider_info.schema.json``.
    """
    return {
        "package-name": "airflow-provider-iinked",
        "name": "iinked Sign",
        "description": "Wait for recordings of iinked Sign (Syngrafii), copy and verify them, delete exactly those.",
        "integrations": [
            {"integration-name": "iinked Sign", "external-doc-url": "https://docs.iinkedsign.com", "tags": ["service"]}
        ],
        "hooks": [{"integration-name": "iinked Sign", "python-modules": ["airflow_provider_iinked.hooks.iinked_sign"]}],
        "operators": [
            {
                "integration-name": "iinked Sign",
                "python-modules": [
                    "airflow_provider_iinked.operators.videos",
                    "airflow_provider_iinked.operators.packages",
                    "airflow_provider_iinked.operators.custody",
                    "airflow_provider_iinked.operators.holds",
                ],
            }
        ],
        "sensors": [{"integration-name": "iinked Sign", "python-modules": ["airflow_provider_iinked.sensors.videos"]}],
        "triggers": [
            {"integration-name": "iinked Sign", "python-modules": ["airflow_provider_iinked.triggers.videos"]}
        ],
        "extra-links": [
            "airflow_provider_iinked.links.IinkedSignLink",
            "airflow_provider_iinked.links.StoredCopiesLink",
        ],
        # Airflow 3.4 describes these; the schemas of earlier versions let unknown keys be.
        "retry-policies": [
            {"integration-name": "iinked Sign", "python-modules": ["airflow_provider_iinked.retry_policy"]}
        ],
        "cli": ["airflow_provider_iinked.command_line.get_cli_commands"],
        "connection-types": [
            {
                "connection-type": "iinked_sign",
                "hook-class-name": "airflow_provider_iinked.hooks.iinked_sign.IinkedSignHook",
                "hook-name": "iinked Sign",
                "ui-field-behaviour": {
                    "hidden-fields": UI_FIELD_BEHAVIOUR["hidden_fields"],
                    "relabeling": UI_FIELD_BEHAVIOUR["relabeling"],
                    "placeholders": UI_FIELD_BEHAVIOUR["placeholders"],
                },
                "conn-fields": CONN_FIELDS,
            }
        ],
    }
