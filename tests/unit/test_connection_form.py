"""The connection form: one description, shown by every Airflow in its own way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_iinked.api.settings import AUTH_HEADERS, ENVIRONMENTS, KNOWN_EXTRAS
from airflow_provider_iinked.connection_form import ChoiceWidget, build_widgets
from airflow_provider_iinked.get_provider_info import CONN_FIELDS, get_provider_info
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

CONNECTION_TYPE = get_provider_info()["connection-types"][0]
needs_wtforms = pytest.mark.skipif(not find_spec("wtforms") or not find_spec("flask_appbuilder"), reason="no wtforms")
below_3 = airflow_version.startswith("2.")

# Airflow's web server is asked in a process of its own: it puts stand-ins in the place of modules.
ASK_AIRFLOW_3 = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
forms = {form.connection_type: form.model_dump(mode="json") for form in HookMetaService.hook_meta_data()}
print("FORM", json.dumps({name: forms.get(name) for name in ("iinked_sign", "http")}))
"""
ASK_AIRFLOW_2 = """
import json
from flask import Flask
from airflow.providers_manager import ProvidersManager
with Flask("form").app_context():
    fields = {
        key: [str(info.field.kwargs["label"]), info.field.kwargs["description"], info.is_sensitive]
        for key, info in ProvidersManager().connection_form_widgets.items() if "iinked" in key
    }
    print("FORM", json.dumps([fields, ProvidersManager().field_behaviours["iinked_sign"]]))
"""


def ask_airflow(tmp_path, program):
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, env=env)
    forms = [line[5:] for line in done.stdout.splitlines() if line.startswith("FORM ")]
    assert forms, f"Airflow shows no form: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return json.loads(forms[-1])


def test_hook_and_metadata_name_the_same_type():
    assert CONNECTION_TYPE["connection-type"] == IinkedSignHook.conn_type
    assert CONNECTION_TYPE["hook-name"] == IinkedSignHook.hook_name
    assert CONNECTION_TYPE["hook-class-name"] == f"{IinkedSignHook.__module__}.{IinkedSignHook.__qualname__}"


def test_hook_and_metadata_say_the_same_about_standard_fields():
    metadata = {key.replace("-", "_"): value for key, value in CONNECTION_TYPE["ui-field-behaviour"].items()}
    assert metadata == IinkedSignHook.get_ui_field_behaviour()


def test_fields_are_exactly_what_the_settings_read():
    where = "api/settings.py and CONN_FIELDS in get_provider_info.py name different"
    assert set(CONN_FIELDS) == KNOWN_EXTRAS, f"{where} extras"
    assert CONN_FIELDS["environment"]["schema"]["enum"] == list(ENVIRONMENTS), f"{where} environments"
    assert CONN_FIELDS["auth_type"]["schema"]["enum"] == list(AUTH_HEADERS), f"{where} auth types"


@pytest.mark.parametrize("name", CONN_FIELDS)
def test_no_field_has_a_preselected_value(name):
    assert "default" not in CONN_FIELDS[name]["schema"]
    assert "null" in CONN_FIELDS[name]["schema"]["type"]


@needs_wtforms
@pytest.mark.parametrize("name", CONN_FIELDS)
def test_widget_says_what_the_metadata_says(name):
    meta = CONN_FIELDS[name]
    words = build_widgets(CONN_FIELDS)[name].kwargs
    assert (words["label"], words["description"]) == (meta["label"], meta["description"])
    choices = meta["schema"].get("enum")
    assert getattr(words["widget"], "choices", None) == (tuple(choices) if choices else None)


def draw(data):
    from wtforms import Form, StringField

    class Drawn(Form):
        environment = StringField(widget=ChoiceWidget(["us", "eu"]))

    return str(Drawn(data={"environment": data}).environment())


@needs_wtforms
def test_drop_down_begins_empty():
    assert draw(None).startswith("<select")
    assert "<option value='' selected></option>" in draw(None)


@needs_wtforms
def test_drop_down_shows_what_is_stored():
    assert "<option value='eu' selected>eu</option>" in draw("eu")


@needs_wtforms
def test_drop_down_keeps_and_escapes_a_stored_value_that_is_no_choice():
    assert "<option value='&lt;b&gt;' selected>&lt;b&gt;</option>" in draw("<b>")


@pytest.mark.skipif(not below_3, reason="Airflow 2 only")
def test_airflow_2_shows_the_form(tmp_path):
    fields, behaviour = ask_airflow(tmp_path, ASK_AIRFLOW_2)
    assert fields == {
        f"extra__iinked_sign__{name}": [meta["label"], meta["description"], False] for name, meta in CONN_FIELDS.items()
    }
    assert behaviour["hidden_fields"] == ["login", "port", "schema"]
    assert behaviour["relabeling"]["password"] == "API Key"


@pytest.mark.skipif(below_3, reason="Airflow 3 only")
def test_airflow_3_shows_the_form(tmp_path):
    forms = ask_airflow(tmp_path, ASK_AIRFLOW_3)
    form = forms["iinked_sign"]
    if airflow_version.startswith("3.0.") and not forms["http"]["standard_fields"]:
        pytest.skip("without the FAB provider, Airflow 3.0 shows the form of no provider")
    assert list(form["extra_fields"]) == list(CONN_FIELDS)
    for name, meta in CONN_FIELDS.items():
        shown = form["extra_fields"][name]
        assert shown["schema"].get("title") == meta["label"] or shown.get("title") == meta["label"]
        assert shown["schema"].get("enum") == meta["schema"].get("enum")
        assert shown["value"] is None
    standard = form["standard_fields"]
    assert standard["password"]["title"] == "API Key"
    assert all(standard[name]["hidden"] for name in ("login", "port", "url_schema"))
