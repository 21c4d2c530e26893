"""Everything public has its place in the reference: names, error types, settings, options, variables, operations."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from dataclasses import fields
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import pytest
import typer.main
from blocks import ROOT
from contract import CONTRACT
from error_types import Unclear, documented, documented_statuses, error_types, raised_statuses, types_of
from links import read

import synapse_sdk
from synapse_agent.cli.commands.serve import app
from synapse_agent.options import option_name, variable_name
from synapse_agent.settings import Settings

REFERENCE = ROOT / "docs" / "reference"
PUBLIC_MODULES = (
    "synapse_sdk",
    *(
        module.name
        for module in walk_packages(synapse_sdk.__path__, "synapse_sdk.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ),
    "synapse_agent",
)
VARIABLE = re.compile(r"SYNAPSE_[A-Z_]+")
INTERNAL_VARIABLES = {"SYNAPSE_REHEARSED"}
"""They pass values from an agent to its own processes."""


def public_names(module: ModuleType) -> list[str]:
    """Return a module's public names: its `__all__`, or else its definitions without an underscore."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    found = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.append(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in found if not name.startswith("_")]


def has(module_name: str, name: str, thing: object) -> bool:
    """Return whether a module has this very object by this name."""
    return getattr(importlib.import_module(module_name), name, None) is thing


def page(name: str) -> str:
    """Return a page of the reference."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """The reference renders its docstring, under one of the modules that export it."""
    rendered = read(site / "reference" / "python.html").ids
    missing = []
    for module_name in PUBLIC_MODULES:
        module = importlib.import_module(module_name)
        for name in public_names(module):
            thing = getattr(module, name)
            anchors = {f"{other}.{name}" for other in PUBLIC_MODULES if has(other, name, thing)}
            if not anchors & rendered and f"`{module_name}.{name}`" not in page("python.md"):
                missing.append(f"{module_name}.{name}")
    assert not missing, "Add them to docs/reference/python.md."


def test_the_types_of_what_methods_return_are_in_the_reference(site: Path) -> None:
    """The reference has all types of the contract, except those of requests."""
    path = ROOT / "generated" / "synapse_agent_api" / "typed_dicts.py"
    types = [node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    rendered = read(site / "reference" / "python.html").ids
    returned = [name for name in types if not name.endswith("Request")]
    assert [name for name in returned if f"synapse_agent_api.typed_dicts.{name}" not in rendered] == []


def test_every_public_name_says_what_it_is() -> None:
    """Classes, their public methods and properties, and functions have a docstring."""
    silent = []
    for module_name in PUBLIC_MODULES:
        module = importlib.import_module(module_name)
        for name in public_names(module):
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            members = vars(thing).items() if inspect.isclass(thing) else ()
            own = [(each, value) for each, value in members if not each.startswith("_")]
            parts = [(f".{each}", value) for each, value in own if callable(value) or isinstance(value, property)]
            silent += [f"{module_name}.{name}{each}" for each, value in [("", thing), *parts] if not value.__doc__]
    assert not silent


def test_every_fixture_for_pytest_is_documented() -> None:
    """The guide to testing lists them."""
    source = (ROOT / "src" / "synapse_agent" / "testing.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    fixtures = [each.name for each in functions if "fixture" in "".join(map(ast.unparse, each.decorator_list))]
    text = (ROOT / "docs" / "guides" / "testing.md").read_text(encoding="utf-8")
    assert fixtures
    assert [name for name in fixtures if f"| `{name}` |" not in text] == []


def test_every_error_class_has_its_cause_and_cure() -> None:
    """Each class has a row, in the order of the tree."""
    module = importlib.import_module("synapse_sdk.exceptions")
    classes = [name for name in public_names(module) if inspect.isclass(getattr(module, name))]
    errors = [name for name in classes if issubclass(getattr(module, name), Exception)]
    assert re.findall(r"^\| `([A-Z]\w+)` \| \S", page("errors.md"), re.M) == errors


def test_every_error_type_has_its_cause_and_cure() -> None:
    """The page has the types in the agent's source, and no others."""
    found = set(error_types(ROOT / "src" / "synapse_agent"))
    assert documented(page("errors.md")) == found, (
        "Each error type needs a row in docs/reference/errors.md, with cause and fix."
    )


def test_every_error_type_is_below_its_status() -> None:
    """A reader looks for a type under the status of the answer."""
    raised = raised_statuses(ROOT / "src" / "synapse_agent")
    assert len(raised) > 40
    assert raised - documented_statuses(page("errors.md")) == set()


def test_the_contract_names_no_error_type_that_the_agent_does_not_have() -> None:
    """Neither the examples nor the descriptions of answers name one."""
    found = set(error_types(ROOT / "src" / "synapse_agent"))
    examples = set(re.findall(r"error_type: ([a-z_]+)\b", (ROOT / "openapi.yaml").read_text(encoding="utf-8")))
    described = {
        name
        for answer in CONTRACT["components"]["responses"].values()
        for name in re.findall(r"\(`([a-z_]+)`", answer["description"])
    }
    assert examples
    assert described
    assert (examples | described) - found == set()


def test_the_contract_lists_the_error_types_that_the_agent_has() -> None:
    """Generators and editors read the list, which is sorted."""
    listed = CONTRACT["components"]["schemas"]["ErrorDetail"]["properties"]["error_type"]["x-extensible-enum"]
    assert listed == sorted(error_types(ROOT / "src" / "synapse_agent")), (
        "Name each error type under ErrorDetail.error_type of openapi.yaml, and run `make generate`."
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("raise Problem(404, 'a', 'm')", {"a"}),
        ("raise problems.Problem(404, error_type='a', message='m')", {"a"}),
        ("def f(x):\n    raise ActionFailure('a' if x else 'b', 'm')", {"a", "b"}),
        ("def f(x):\n    kind = 'a'\n    return Problem(1, kind, 'm')", {"a"}),
        ("def f(p, *, kind='a'):\n    return Problem(1, kind, 'm')\nf(1)\nf(2, kind='b')", {"a", "b"}),
        (
            "class A:\n    def _refuse(self, s, kind, m): ...\n    def f(self):\n        self._refuse(1, 'a', 'm')",
            {"a"},
        ),
        (
            "def f(kind, n):\n    return Problem(n, kind, 'm')\nf('a', 1)\ndef g(kind):\n    f(kind, 2)\ng('b')",
            {"a", "b"},
        ),
        ("raise Problem(old.status, old.error_type, 'm')", set()),
    ],
)
def test_error_types_are_read_from_source(source: str, found: set[str]) -> None:
    """The check covers every way in which the source sets an error's type."""
    assert types_of(source) == found


def test_an_error_type_that_cannot_be_told_is_noticed() -> None:
    """The check fails instead of skipping it."""
    with pytest.raises(Unclear, match="made_up"):
        types_of("raise Problem(404, made_up(), 'm')")


def test_every_setting_is_documented() -> None:
    """The table of settings has it."""
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", page("configuration.md"), re.M)
    named = {name.strip("`") for row in rows for name in row.split(", ")}
    assert named >= {field.name for field in fields(Settings)}


def test_every_option_of_serve_is_documented() -> None:
    """The same table has it, beside its setting or below it."""
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {name for option in serve.params for name in option.opts if name.startswith("--")}
    text = page("configuration.md")
    assert {name for name in options - {"--help"} if f"`{name}`" not in text} == set()


def test_every_environment_variable_is_documented() -> None:
    """The check covers the variables in the source; an option defines its own variable."""
    options = {variable_name(option_name(setting)) for setting in fields(Settings)}
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "generator" / "static").rglob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r"""["'`](SYNAPSE_[A-Z_]+)["'`]""", source))
    assert named - options - INTERNAL_VARIABLES - set(VARIABLE.findall(page("configuration.md"))) == set()


def test_every_operation_is_documented() -> None:
    """The page has its method and path, and the client's method that calls it."""
    text = page("http.md")
    for path, item in CONTRACT["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "operationId" in operation:
                assert f"| `{operation['operationId']}` | `{method.upper()} {path}` |" in text
