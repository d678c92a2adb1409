"""Conventions of Airflow providers, read from the source: what upstream checks of its own, and our layering."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "airflow_provider_iinked"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TREES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in SOURCES}
DEFERRABLE = "conf.getboolean('operators', 'default_deferrable', fallback=False)"


def task_classes():
    """Operators and sensors, with their template fields."""
    for name, tree in TREES.items():
        if not name.startswith(("operators/", "sensors/")):
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.AnnAssign) and ast.unparse(item.target) == "template_fields":
                        yield pytest.param(node, ast.literal_eval(item.value), id=node.name)


TASKS = list(task_classes())


def init_of(node):
    return next(item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__")


def assignments(init):
    """``self.x = value`` in a constructor, as text by attribute."""
    return {
        ast.unparse(target).removeprefix("self."): ast.unparse(item.value)
        for item in ast.walk(init)
        if isinstance(item, ast.Assign)
        for target in item.targets
        if ast.unparse(target).startswith("self.")
    }


def imports(tree):
    """Modules that are imported when this one is: not inside functions, not for type checking."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_there_are_operators_and_a_sensor_to_check():
    assert len(TASKS) >= 4


@pytest.mark.parametrize(("node", "fields"), TASKS)
def test_template_fields_are_stored_as_they_came(node, fields):
    stored = assignments(init_of(node))
    assert {field: stored.get(field) for field in fields} == {field: field for field in fields}


@pytest.mark.parametrize(("node", "fields"), TASKS)
def test_every_connection_id_is_a_template(node, fields):
    ids = {name for name in assignments(init_of(node)) if name.endswith("conn_id")}
    assert ids <= set(fields)


@pytest.mark.parametrize(("node", "fields"), TASKS)
def test_what_must_be_a_real_boolean_is_no_template(node, fields):
    assert not {"delete_all", "preview"} & set(fields)


@pytest.mark.parametrize(("node", "fields"), TASKS)
def test_arguments_are_keyword_only(node, fields):
    arguments = init_of(node).args
    assert [argument.arg for argument in arguments.args] == ["self"]


@pytest.mark.parametrize(("node", "fields"), TASKS)
def test_a_deletion_has_no_switch_for_being_idempotent(node, fields):
    names = {argument.arg for argument in init_of(node).args.kwonlyargs}
    assert not names & {"ignore_if_missing", "fail_if_not_exists", "ignore_not_found"}


def test_the_default_of_deferrable_is_airflows_own():
    defaults = [
        ast.unparse(default)
        for param in TASKS
        for argument, default in zip(
            init_of(param.values[0]).args.kwonlyargs, init_of(param.values[0]).args.kw_defaults, strict=True
        )
        if argument.arg == "deferrable"
    ]
    assert defaults == [DEFERRABLE]


@pytest.mark.parametrize("name", TREES)
def test_no_bare_airflow_exception_is_raised(name):
    raised = [
        ast.unparse(node.exc.func)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    ]
    assert "AirflowException" not in raised


@pytest.mark.parametrize("name", TREES)
def test_production_code_does_not_assert(name):
    assert not [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Assert)]


PURE = (
    "models.py",
    "readiness.py",
    "arguments.py",
    "client/",
    "deletion/plan.py",
    "deletion/request.py",
    "custody/record.py",
)


@pytest.mark.parametrize("name", [name for name in TREES if name.startswith(PURE)])
def test_what_decides_imports_no_airflow(name):
    assert not [module for module in imports(TREES[name]) if module == "airflow" or module.startswith("airflow.")]


@pytest.mark.parametrize("name", [name for name in TREES if name.startswith("simulator/")])
def test_the_simulator_shares_no_code_with_what_it_tests(name):
    ours = [module for module in imports(TREES[name]) if module.startswith("airflow_provider_iinked")]
    assert not [module for module in ours if not module.startswith("airflow_provider_iinked.simulator")]
    assert not [module for module in imports(TREES[name]) if module.startswith("airflow.")]


@pytest.mark.parametrize(
    "name", [name for name in TREES if name.startswith(("operators/", "sensors/", "links", "task_groups/"))]
)
def test_a_dag_file_loads_nothing_heavy(name):
    heavy = ("requests", "aiohttp", "fsspec", "airflow_provider_iinked.hooks", "airflow_provider_iinked.api")
    assert not [module for module in imports(TREES[name]) if module.startswith(heavy)]
