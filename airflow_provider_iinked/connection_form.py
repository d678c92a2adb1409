"""
The connection form's extra fields as wtforms widgets, for Airflow below 3.2.

Airflow 2.11 drops a hook's whole form when a field is not of one of its own four classes (text, whole number, password,
tick box), so a drop-down is a text field whose widget draws a ``select``. Airflow 3.0 and 3.1 put stand-ins in place of
wtforms and make a drop-down out of the ``any_of`` validator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ChoiceWidget:
    """
    Draws a text field as a drop-down that begins with an empty choice, so that nothing is preselected.

    :param choices: what can be chosen.
    """

    def __init__(self, choices: Sequence[str]) -> None:
        self.choices = tuple(choices)

    def __call__(self, field: Any, **attributes: Any) -> Any:
        """
        Draw the field.

        :param field: the wtforms field.
        :param attributes: HTML attributes.
        :return: safe HTML.
        """
        from markupsafe import Markup
        from wtforms.widgets import html_params

        # A stored value that is no choice is shown all the same: saving the form must not change it silently.
        stored = field.data or ""
        values = ["", *self.choices] if stored in ("", *self.choices) else ["", *self.choices, stored]
        attributes = {"class": "form-control", **attributes}
        options = Markup("").join(
            Markup("<option value='{0}'{1}>{0}</option>").format(value, Markup(" selected") if value == stored else "")
            for value in values
        )
        return Markup("<select {}>{}</select>").format(
            Markup(html_params(id=field.id, name=field.name, **attributes)),  # noqa: S704 - wtforms escapes them
            options,
        )


def build_widgets(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """
    Build the widgets from the same metadata that newer Airflow versions read.

    :param fields: the provider info's ``conn-fields``.
    :return: a wtforms field for each; empty where wtforms is not installed.
    """
    try:
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import IntegerField, StringField
        from wtforms.validators import Optional, any_of
    except ImportError:
        return {}
    widgets: dict[str, Any] = {}
    for name, meta in fields.items():
        schema = meta["schema"]
        kind = IntegerField if "integer" in schema["type"] else StringField
        choices = schema.get("enum")
        widgets[name] = kind(
            label=meta["label"],
            description=meta["description"],
            validators=[Optional(), *([any_of(list(choices))] if choices else [])],
            widget=ChoiceWidget(choices) if choices else BS3TextFieldWidget(),
        )
    return widgets
