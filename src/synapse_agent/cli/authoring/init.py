"""`init`: create a plugin from a template."""

from __future__ import annotations

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from synapse_agent.cli.commands.example_files import example_files
from synapse_agent.cli.failures import UsageFailure
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_output

_PLACEHOLDER = "NAME"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


class Kind(StrEnum):
    """The kind of a plugin's actions; each has a folder in `examples/templates`."""

    FUNCTION = "function"
    CLASS = "class"
    SERVE = "serve"
    SDK = "sdk"


_FIRST_RUN = {
    Kind.FUNCTION: "greet -p name=Ada",
    Kind.CLASS: "count -p text='to be or not to be'",
    Kind.SERVE: "predict -p data='[1, 2, 3]'",
    Kind.SDK: "train -p points='[[1, 2], [2, 4]]'",
}


@with_output
def init(
    invocation: Invocation,
    name: Annotated[
        Path,
        typer.Argument(metavar="NAME", help="The plugin's code, or the path of its new folder.", show_default=False),
    ],
    kind: Annotated[
        Kind,
        typer.Option(
            "--kind",
            help="Its actions: functions, methods of a class, a model that stays loaded, or classes of the public SDK.",
        ),
    ] = Kind.FUNCTION,
) -> None:
    """Create a working plugin with a test and a commented config.yaml, and print the next steps."""
    code = _code(name)
    if name.is_dir() and any(name.iterdir()):
        raise UsageFailure(f"{name} is not empty. Pass another folder, or empty it.")
    with example_files() as examples:
        made = _copy(examples / "templates" / kind, name, code)
    invocation.output.result({"folder": str(name), "files": made}, "value")
    invocation.output.note(_next(name, kind))


def _code(name: Path) -> str:
    code = name.expanduser().resolve().name
    if not _CODE.fullmatch(code):
        raise UsageFailure(f"{code!r} is not a valid plugin code. Use letters, digits, - and _, such as my_plugin.")
    return code


def _copy(template: Path, folder: Path, code: str) -> list[str]:
    """Write a template's files for the plugin's code; return their names."""
    made = []
    for source in sorted(template.rglob("*")):
        if source.is_file() and source.suffix != ".pyc":
            path = folder.expanduser() / source.relative_to(template)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(source.read_text(encoding="utf-8").replace(_PLACEHOLDER, code), encoding="utf-8")
            except OSError as error:
                raise UsageFailure(f"{path} cannot be written: {error.strerror}. Pass another folder.") from error
            made.append(path.relative_to(folder.expanduser()).as_posix())
    return made


def _next(name: Path, kind: Kind) -> str:
    folder = shlex.quote(str(name) if name.is_absolute() or str(name).startswith("~") else f"./{name}")
    call = f"{folder} {_FIRST_RUN[kind]}"
    steps = {
        f"synapse-agent run {call}": "runs an action",
        f"synapse-agent dev {call}": "runs it again at each change",
        f"synapse-agent check {folder}": "reports what is wrong with it",
        f"(cd {folder} && python -m pytest)": "runs its test",
    }
    width = max(map(len, steps))
    return "\n".join(["Next:", *(f"  {step:{width}}  # {what}" for step, what in steps.items())])
