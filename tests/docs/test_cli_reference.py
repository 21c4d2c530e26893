"""The reference documents all of the command line, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synapse_agent.cli.environment import VARIABLES
from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.program import NAME, command

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text()
VARIABLE = re.compile(r"\b(?:SYNAPSE_\w*[A-Z]\b|XDG_\w+|NO_COLOR|NO_PROXY|SSL_CERT_FILE)\b")


def commands(each: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command, with the words that call it."""
    yield path, each
    for name, below in getattr(each, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands(command(), NAME))


def section(path: str) -> str:
    """Return the section of a command, with the shared options that it refers to."""
    found = re.search(rf"^### `{re.escape(path)}(?: [^`a-z]*)?`\n(.*?)(?=^### |\Z)", PAGE, re.M | re.S)
    assert found, f"`{path}` has no section: run `make reference`"
    text = found[1]
    return text + section(NAME) if "options of every command" in text else text


def test_the_page_is_what_the_commands_give() -> None:
    """`make reference` changes nothing."""
    check = [sys.executable, ROOT / "docs" / "scripts" / "cli_reference.py", "--check"]
    ended = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_every_command_is_there() -> None:
    """The page has a section for each command."""
    wanted = "serve demo health list get create delete run debug doctor use"
    jobs = [f"jobs {name}" for name in ("list", "get", "logs", "stop", "wait")]
    assert COMMANDS.keys() >= {f"{NAME} {name}" for name in (*wanted.split(), *jobs)}


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_and_its_options_say_what_they_do(path: str) -> None:
    """Each has a help text, which is on the page."""
    each, text = COMMANDS[path], section(path)
    assert each.help
    assert each.help.strip().splitlines()[0] in text
    for parameter in each.params:
        assert parameter.help, f"{path} {parameter.name} has no help"
        name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.make_metavar(None)
        assert f"`{name}`" in text
        assert " ".join(parameter.help.replace("\\[", "[").split()).replace("|", "\\|") in text


@pytest.mark.parametrize("code", ExitCode)
def test_an_exit_code_is_documented(code: ExitCode) -> None:
    """Each code has a description on the page."""
    assert f"| {int(code)} | {code.meaning} |" in PAGE


def test_every_environment_variable_is_documented() -> None:
    """The check covers the variables in the code of the command line and the client."""
    folders = [ROOT / "src" / "synapse_agent" / "cli", ROOT / "src" / "synapse_sdk"]
    modules = [path for folder in folders for path in folder.rglob("*.py")]
    modules += [ROOT / "src" / "synapse_agent" / name for name in ("options.py", "settings.py")]
    named = {name for path in modules for name in VARIABLE.findall(path.read_text())}
    documented = {name.strip() for names in VARIABLES for name in names.split(",")}
    assert {name for name in named - documented if f"Also `{name}`." not in PAGE} == set()
    for names, what in VARIABLES.items():
        assert f"| `{names}` | {what} |" in PAGE


def test_options_with_an_environment_variable_name_one_that_is_documented() -> None:
    """This holds for the options of all commands."""
    documented = {name.strip() for names in VARIABLES for name in names.split(",")}
    variables = {
        each.envvar for command in COMMANDS.values() for each in command.params if getattr(each, "envvar", None)
    }
    assert {name for name in variables if name not in documented and f"Also `{name}`." not in PAGE} == set()
