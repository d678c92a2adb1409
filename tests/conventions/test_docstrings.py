"""Everything public says what it is, and names each of its parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_provider_iinked"
Function = (ast.FunctionDef, ast.AsyncFunctionDef)
Named = (ast.ClassDef, *Function)


def definitions(body: list[ast.stmt], place: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Public classes, functions and methods; what lies inside a function is nobody else's."""
    for node in body:
        if not isinstance(node, Named) or node.name.startswith("_"):
            continue
        yield f"{place}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body, f"{place}{node.name}.")


TREES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
PUBLIC = {name: dict(definitions(tree.body)) for name, tree in TREES.items()}
CLASSES = {node.name: node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def explained(node: ast.ClassDef) -> str:
    """The docstrings of a class, its constructor and its base classes in this package."""
    texts = [ast.get_docstring(node)]
    texts += [ast.get_docstring(item) for item in node.body if isinstance(item, Function) and item.name == "__init__"]
    bases = [CLASSES[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in CLASSES]
    return "\n".join([*(text or "" for text in texts), *(explained(base) for base in bases)])


def repeats_a_base(name: str, public: dict[str, ast.AST]) -> bool:
    """Whether a base class in this package explains a method of the same name."""
    owner, _, method = name.rpartition(".")
    node = public.get(owner)
    above = list(bases_of(node)) if isinstance(node, ast.ClassDef) else []
    return any(item.name == method for base in above for item in base.body if isinstance(item, Function))


def bases_of(node: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """The base classes in this package, however far above."""
    for base in node.bases:
        if (found := CLASSES.get(getattr(base, "id", ""))) is not None:
            yield found
            yield from bases_of(found)


def parameters(arguments: ast.arguments) -> list[str]:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [argument.arg for argument in named if argument.arg not in ("self", "cls") and argument.arg[0] != "_"]


def unexplained(function: ast.FunctionDef, text: str) -> list[str]:
    return [name for name in parameters(function.args) if f":param {name}:" not in text]


def test_there_is_something_to_check():
    assert len(CLASSES) > 40
    assert sum(map(len, PUBLIC.values())) > 200


@pytest.mark.parametrize("module", TREES)
def test_each_module_and_each_public_name_in_it_says_what_it_is(module):
    assert ast.get_docstring(TREES[module])
    assert [name for name, node in PUBLIC[module].items() if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("module", TREES)
def test_each_parameter_of_a_public_function_is_explained(module):
    public = PUBLIC[module]
    assert {
        name: missing
        for name, node in public.items()
        if isinstance(node, Function)
        and not repeats_a_base(name, public)
        and (missing := unexplained(node, ast.get_docstring(node) or ""))
    } == {}


@pytest.mark.parametrize("module", TREES)
def test_each_parameter_of_a_public_class_is_explained(module):
    for node in PUBLIC[module].values():
        for method in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(method, Function) and method.name == "__init__":
                assert unexplained(method, explained(node)) == [], node.name


OPERATORS = [name for name in TREES if name.startswith(("operators/", "sensors/"))]


@pytest.mark.parametrize("module", OPERATORS)
def test_operators_mark_exactly_the_parameters_that_are_templates(module):
    for node in PUBLIC[module].values():
        fields = [
            ast.literal_eval(item.value)
            for item in getattr(node, "body", [])
            if isinstance(item, ast.AnnAssign) and getattr(item.target, "id", "") == "template_fields"
        ]
        if not fields:
            continue
        entries = " ".join((ast.get_docstring(node) or "").split(":return")[0].split()).split(":param ")[1:]
        assert {entry.partition(":")[0] for entry in entries if "(templated)" in entry} == set(fields[0])
