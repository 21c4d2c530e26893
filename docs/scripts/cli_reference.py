"""Write `docs/reference/cli.md` from the commands, the settings' tables in `configuration.md`, and those of the rooms.

With `--check`, fail if the pages differ from these.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import rooms_page

from synapse_agent.cli.environment import VARIABLES
from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.program import NAME, command
from synapse_agent.options import option_name, option_of, shown_default
from synapse_agent.settings import Settings

REFERENCE = Path(__file__).parents[1] / "reference"
CONFIGURATION = REFERENCE / "configuration.md"
TABLES = re.compile(r"(?<=<!-- settings, by `make reference` -->\n).*(?=<!-- end of settings -->)", re.S)
INTRODUCTION = Path(__file__).with_name("cli_introduction.md")
ANCHOR = "synapse-agent-command"
PROGRAM_OPTIONS = ("--version", "--install-completion", "--show-completion")
"""The program's own options, which follow those that commands have too."""


def main() -> int:
    """Write the pages, or check them, and return the exit code."""
    is_check, stale = "--check" in sys.argv[1:], []
    pages = {REFERENCE / "cli.md": page(), CONFIGURATION: configuration(), rooms_page.PAGE: rooms_page.text()}
    for path, text in pages.items():
        if not is_check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
    for path in stale:
        print(f"{path} differs from the code: run `make reference` and commit it.", file=sys.stderr)
    return 1 if stale else 0


def configuration() -> str:
    """Return the page on configuration with the settings' tables, one for each panel of `serve --help`."""
    panels: dict[str, list[tuple[str, ...]]] = {}
    for setting in fields(Settings):
        panels.setdefault(option_of(setting).panel, []).append(setting_row(setting))
    head = ("setting", "option", "default", "meaning")
    tables = [f"### {panel}\n\n{table(head, rows)}" for panel, rows in panels.items()]
    return TABLES.sub(lambda _: "\n" + "\n".join(tables) + "\n", CONFIGURATION.read_text(encoding="utf-8"))


def setting_row(setting: Field[Any]) -> tuple[str, ...]:
    """Return a setting's row."""
    option = option_of(setting)
    names = ", ".join(f"`{name}`" for name in option_name(setting).split("/"))
    takes = f" `{option.metavar}`" if option.metavar else ""
    return f"`{setting.name}`", f"{names}{takes}", shown_default(setting) or "", option.help


def page() -> str:
    """Return the page."""
    parts = [
        "<!-- Made from the commands by `make reference`. Don't edit. -->\n",
        INTRODUCTION.read_text(encoding="utf-8"),
        "## Exit codes\n",
        table(("code", "meaning"), ((str(int(code)), code.meaning) for code in ExitCode)),
        "`serve` has its own: 0 after a stop, 1 if the agent can't start, 2 for invalid arguments.\n",
        "## Environment\n",
        table(("variable", "meaning"), ((f"`{name}`", what) for name, what in VARIABLES.items())),
        "## Commands\n",
        *sections(command(), NAME),
    ]
    return "\n".join(parts)


def sections(each: Any, path: str, shared: frozenset[tuple[str, str]] = frozenset()) -> Iterator[str]:
    """Yield the section of a command, and those of the commands below it; `shared` are options listed above."""
    below = getattr(each, "commands", {})
    yield f"### `{' '.join([path, *arguments(each, has_commands=bool(below))])}`\n"
    yield f"{plain(each.help or '')}\n"
    rows = [(f"`{one.make_metavar(None)}`", describe(one)) for one in each.params if is_argument(one)]
    rows += [(names(one), describe(one)) for one in each.params if not is_argument(one)]
    has_shared = bool(shared) and shared <= set(rows)
    own = [row for row in rows if not (has_shared and row in shared)]
    if own:
        yield table(("option", "meaning"), own)
    if has_shared:
        yield f"Also the [options of every command that calls an agent](#{ANCHOR}).\n"
    for name, one in below.items():
        yield from sections(one, f"{path} {name}", shared or frozenset(rows[: -len(PROGRAM_OPTIONS)]))


def arguments(each: Any, *, has_commands: bool) -> list[str]:
    """Return the arguments of a command's usage."""
    positional = [argument.make_metavar(None) for argument in each.params if is_argument(argument)]
    return [*positional, "COMMAND"] if has_commands else positional


def is_argument(parameter: Any) -> bool:
    """Check that a parameter is an argument and not an option."""
    return bool(parameter.param_type_name == "argument")


def names(option: Any) -> str:
    """Return the names of an option and its value."""
    flags = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    takes = "" if option.is_flag else f" `{option.make_metavar(None)}`"
    return flags + takes


def describe(parameter: Any) -> str:
    """Return the description of a parameter, its other sources, and its default."""
    parts = [plain(parameter.help or "")]
    if getattr(parameter, "required", False) and not is_argument(parameter):
        parts.append("Required.")
    if getattr(parameter, "envvar", None):
        parts.append(f"Also `{parameter.envvar}`.")
    default = default_of(parameter)
    if default is not None:
        parts.append(f"Default: {default}.")
    return " ".join(parts)


def default_of(parameter: Any) -> str | None:
    """Return a default as a reader should see it, None if it is obvious."""
    shown = getattr(parameter, "show_default", False)
    if isinstance(shown, str):
        return shown
    if parameter.default is None or parameter.default is False or not shown or callable(parameter.default):
        return None
    return f"`{getattr(parameter.default, 'value', parameter.default)}`"


def plain(text: str) -> str:
    """Return help as it was written, each paragraph on a line."""
    unescaped = text.replace("\\[", "[").replace("\f", "")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in unescaped.strip().split("\n\n"))


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (head, ["---"] * len(head), *escaped)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
