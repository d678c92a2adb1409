"""The connection form's extra fields as wtforms widgets, for Airflow below 3.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def build_widgets(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """
    Build the widgets from the same metadata that newer Airflow versions read.

    :param fields: the provider info's ``conn-fields``.
    :return: a wtforms field for each; empty where wtforms is not installed.
    """
    try:
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget, Select2Widget
        from wtforms import SelectField, StringField
        from wtforms.validators import Optional
    except ImportError:
        return {}
    widgets: dict[str, Any] = {}
    for name, meta in fields.items():
        words = {"label": meta["label"], "description": meta["description"], "validators": [Optional()]}
        choices = meta["schema"].get("enum")
        if choices:
            widgets[name] = SelectField(choices=[("", ""), *((c, c) for c in choices)], widget=Select2Widget(), **words)
        else:
            widgets[name] = StringField(widget=BS3TextFieldWidget(), **words)
    return widgets
