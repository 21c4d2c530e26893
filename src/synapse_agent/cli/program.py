"""The whole command line: its commands, and how it ends."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import partial
from typing import Annotated, Any

import typer

from synapse_agent.cli.authoring.check import check
from synapse_agent.cli.authoring.dev import dev
from synapse_agent.cli.authoring.init import init
from synapse_agent.cli.authoring.push import push
from synapse_agent.cli.commands import agents as agent_commands
from synapse_agent.cli.commands import doctor as doctor_command
from synapse_agent.cli.commands import jobs as job_commands
from synapse_agent.cli.commands import releases as release_commands
from synapse_agent.cli.commands import runs as run_commands
from synapse_agent.cli.commands import served as served_commands
from synapse_agent.cli.commands.demo import demo
from synapse_agent.cli.commands.serve import app
from synapse_agent.cli.completion import words_joined
from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.failures import Failure
from synapse_agent.cli.mistakes import CheckedCommand, CommandGroup, plainly
from synapse_agent.cli.options import group, with_shared_options
from synapse_agent.cli.terminal.output import ReaderLeft
from synapse_agent.cli.terminal.sanitize import one_line, safe
from synapse_agent.errors import StartError
from synapse_agent.util.standard_streams import abandon, warn
from synapse_sdk import __version__

NAME = "synapse-agent"
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
RELEASES = "Releases"
JOBS = "Jobs"
AGENTS = "Agents"
HERE = "On this machine"
AUTHORS = "Write plugins"

jobs = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="List, follow, stop and delete jobs.")
jobs.command("list")(job_commands.list_jobs)
jobs.command("get")(job_commands.get)
jobs.command("logs")(job_commands.logs)
jobs.command("files")(job_commands.files)
jobs.command("download")(job_commands.download)
jobs.command("stop")(job_commands.stop)
jobs.command("delete")(job_commands.delete)
jobs.command("wait")(job_commands.wait)

served = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="List and stop actions that workers keep loaded.")
served.command("list")(served_commands.list_served)
served.command("get")(served_commands.get)
served.command("delete")(served_commands.delete)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)]


@app.callback()
@with_shared_options
def synapse_agent(
    context: typer.Context,
    version: Version = False,  # noqa: ARG001 - its callback prints it
    **shared: Any,
) -> None:
    """Fetch, cache and run plugin releases: the agent itself, and commands that talk to one."""
    group(context, **shared)


app.command("init", rich_help_panel=AUTHORS)(init)
app.command("dev", cls=CheckedCommand, rich_help_panel=AUTHORS)(dev)
app.command("check", rich_help_panel=AUTHORS)(check)
app.command("push", rich_help_panel=AUTHORS)(push)
app.command("demo", rich_help_panel=HERE)(demo)
app.command("run", cls=CheckedCommand, rich_help_panel=RELEASES)(run_commands.run)
app.command("debug", cls=CheckedCommand, rich_help_panel=RELEASES)(run_commands.debug)
app.command("list", cls=CheckedCommand, rich_help_panel=RELEASES)(release_commands.list_releases)
app.command("get", cls=CheckedCommand, rich_help_panel=RELEASES)(release_commands.get)
app.command("show", cls=CheckedCommand, rich_help_panel=RELEASES)(release_commands.show)
app.command("create", cls=CheckedCommand, rich_help_panel=RELEASES)(release_commands.create)
app.command("warm", cls=CheckedCommand, rich_help_panel=RELEASES)(release_commands.warm)
app.command("delete", cls=CheckedCommand, rich_help_panel=RELEASES)(release_commands.delete)
app.add_typer(jobs, name="jobs", rich_help_panel=JOBS)
app.add_typer(served, name="served", rich_help_panel=JOBS)
app.command("health", rich_help_panel=AGENTS)(agent_commands.health)
app.command("nodes", rich_help_panel=AGENTS)(agent_commands.nodes)
app.command("gpus", rich_help_panel=AGENTS)(agent_commands.gpus)
app.command("backup", rich_help_panel=AGENTS)(agent_commands.backup)
app.command("open", rich_help_panel=AGENTS)(agent_commands.open_page)
app.command("doctor", rich_help_panel=AGENTS)(doctor_command.doctor)
app.command("use", rich_help_panel=AGENTS)(agent_commands.use)


def command() -> Any:
    """Return the command with all sub-commands, their help texts shown literally."""
    whole = _built()
    whole.commands = _Commands()
    return whole


class _Commands(Mapping[str, Any]):
    """The sub-commands, each built when it is used: Typer takes longer for all of them than most commands run."""

    def __init__(self) -> None:
        self._parts: dict[str, Callable[[], Any]] = {}
        for each in app.registered_commands:
            self._parts[each.name or str(each.callback and each.callback.__name__)] = partial(_built, commands=[each])
        for part in app.registered_groups:
            self._parts[str(part.name)] = partial(_built, groups=[part])
        self._whole: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._whole:
            self._whole[name] = self._parts[name]().commands[name]
        return self._whole[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def _built(*, commands: Iterable[Any] = (), groups: Iterable[Any] = ()) -> Any:
    """Build the command with these sub-commands."""
    part = copy(app)
    part.registered_commands, part.registered_groups = list(commands), list(groups)
    whole = typer.main.get_command(part)
    _show_literally(whole)
    return whole


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; see `ExitCode`, and `serve` for its own codes."""
    try:
        with words_joined():
            ended = command().main(args=arguments, prog_name=NAME, standalone_mode=False)
    except Failure as failure:
        _print_error(failure.line)
        if failure.details:
            warn(safe(failure.details))
        return failure.code
    except StartError as error:
        _print_error(str(error))
        return error.exit_code
    except typer.TyperException as error:
        return _usage_error(error)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except ModuleNotFoundError as error:
        return _missing(error)
    except ReaderLeft:
        abandon(sys.stdout)
        return ExitCode.DONE
    except OSError as error:
        return _not_written(error)
    return ended if isinstance(ended, int) else ExitCode.DONE


def _usage_error(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    what = plainly(error.format_message())
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stdout.write(f"{what}\n" if what else "")
        return ExitCode.USAGE
    path = NAME if context is None else context.command_path
    end = "" if what.endswith((".", "!", "?")) else "."
    _print_error(f"{what}{end} '{path} --help' shows the usage.")
    return error.exit_code


def _missing(error: ModuleNotFoundError) -> int:
    if error.name is None or error.name.startswith("synapse_"):
        raise error
    what, extras = ("'dev'", "agent,cli,dev") if error.name == "watchfiles" else ("The agent", "agent,cli")
    _print_error(f"{error.name} is not installed. {what} needs an extra: pip install 'synapse-agent-client[{extras}]'")
    return ExitCode.FAILED


def _not_written(error: OSError) -> int:
    if error.errno not in _UNWRITABLE:
        raise error
    abandon(sys.stdout)
    _print_error(f"The output could not be written: {error.strerror}.")
    return ExitCode.FAILED


def _print_error(line: str) -> None:
    warn(f"{NAME}: {one_line(line)}")


def _show_literally(whole: Any) -> None:
    """Show help texts as they are meant: Rich takes brackets for markup, and keeps the source's line ends."""
    for each in (*whole.params, *getattr(whole, "commands", {}).values()):
        if getattr(each, "help", None):
            paragraphs = each.help.replace("[", r"\[").split("\n\n")
            each.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        if hasattr(each, "params"):
            _show_literally(each)
