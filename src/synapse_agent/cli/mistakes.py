"""Mistakes on a command line, and the likely intention: other names, params without -p, swapped arguments."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from synapse_agent.cli.failures import UsageFailure
from synapse_agent.cli.target.plugin_folders import check_no_folder, is_path, plugin_folder
from synapse_agent.problems import Problem

SHORT_FORMS = {"logs": ("jobs", "logs"), "ls": ("list",), "ps": ("jobs", "list")}
"""Names that other programs use, and the commands that they run here too."""
_ELSEWHERE = {
    "call": "run",
    "cancel": "stop",
    "exec": "run",
    "info": "get",
    "inspect": "get",
    "install": "create",
    "kill": "stop",
    "login": "use",
    "new": "init",
    "ping": "health",
    "plugins": "list",
    "pull": "create",
    "releases": "list",
    "rm": "delete",
    "start": "serve",
    "status": "health",
    "tail": "logs",
    "up": "serve",
}
"""Names that other programs use, and the commands that the error suggests instead."""
_PLAIN = (
    (re.compile(r"is not a valid int\w*(?: range)?"), "is not a whole number"),
    (re.compile(r"is not a valid float(?: range)?"), "is not a number"),
    (re.compile(r"does not match the formats? '%Y.*'"), "is not a time, such as 2026-11-30 or 2026-11-30T14:00"),
    (re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)"), r"Unexpected: \1"),
    (re.compile(r" \(Possible options: (.*)\)"), r". Did you mean \1?"),
)
"""The library's messages for a value of the wrong type, and plain ones."""
_MOST_SUGGESTED = 3
_NEAR = 0.75
"""Similarity, from 0 to 1, from which a name may be a mistyped one; `--file` is not `--token-file`."""
_SEPARATORS = re.compile(r"===?|[@=:/ ]")
_RELEASE = re.compile(r"[^@\s/]+@[^@\s/]+")
_VERSION = re.compile(r"v?\d[\w.+!-]*")


class CommandGroup(TyperGroup):
    """A group of commands that accepts short forms and `help`, and suggests the nearest command for an unknown one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names, and the arguments after it."""
        name, *rest = args
        if name in self.commands:
            return super().resolve_command(ctx, args)
        if name == "help":
            if not rest:
                typer.echo(ctx.get_help())
                raise typer.Exit
            return self.resolve_command(ctx, [*rest, "--help"])
        if name == "version" and ctx.parent is None:
            return self.make_context(ctx.info_name, ["--version"])
        short = SHORT_FORMS.get(name, ())
        try:
            return super().resolve_command(ctx, [*short, *rest] if short and short[0] in self.commands else args)
        except typer.TyperException as error:
            meant = self._meant(name)
            if meant and hasattr(error, "message"):
                error.message = f"No such command {name!r}. Did you mean {meant!r}?"
            raise

    def _meant(self, name: str) -> str | None:
        meant = _ELSEWHERE.get(name, name)
        if meant in self.commands:
            return meant
        groups = (each for each in self.commands if meant in getattr(self.commands[each], "commands", {}))
        return next((f"{group} {meant}" for group in groups), None)


class CheckedCommand(TyperCommand):
    """A command that recognizes params, releases and folders in wrong places."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; raise `UsageFailure` with the call that was meant."""
        typed = list(args)
        ctx.allow_extra_args = True
        try:
            extra = super().parse_args(ctx, args)
        except typer.TyperException as error:
            self._explain(error, typed, ctx.params)
            raise
        if ctx.resilient_parsing:  # a shell asks for completions
            return extra
        self._check_order(ctx.command_path, ctx.params)
        if extra:
            self._refuse(ctx.command_path, ctx.params, extra)
        return extra

    def _explain(self, error: typer.TyperException, typed: Sequence[str], given: Mapping[str, Any]) -> None:
        """Raise `UsageFailure` for an unknown option that is a param, and for a missing action."""
        option, lookup = getattr(error, "option_name", None), given.get("lookup")
        if option and option not in self._options() and self._takes_params():
            near = get_close_matches(option, getattr(error, "possibilities", None) or (), n=1, cutoff=_NEAR)
            raise UsageFailure(_near_option(option, *near) if near else _param_as_option(option, typed)) from error
        if getattr(getattr(error, "param", None), "name", None) == "action":
            found = _actions_of(lookup, given.get("path"))
            raise UsageFailure(f"{error.format_message().rstrip('.')}. {found}") from error

    def _takes_params(self) -> bool:
        return "-p" in self._options()

    def _options(self) -> set[str]:
        return {name for each in self.params for name in (*each.opts, *each.secondary_opts)}

    def _check_order(self, path: str, given: Mapping[str, Any]) -> None:
        """Refuse an action in front of its release or its folder."""
        first, action = str(given.get("lookup") or given.get("path") or ""), given.get("action")
        if not first or not isinstance(action, str):
            return
        if "path" in given:
            is_swapped, what = Path(action).is_dir() and not Path(first).is_dir(), "folder"
        else:
            is_swapped, what = _names_release(action) and not _names_release(first), "release"
        if is_swapped:
            raise UsageFailure(f"The {what} comes before the action: '{path} {action} {first}'.")

    def _refuse(self, path: str, given: Mapping[str, Any], extra: Sequence[str]) -> None:
        shown = shlex.join(extra)
        lookup, action = given.get("lookup") or given.get("release"), given.get("action")
        version = action if isinstance(action, str) else extra[0]
        if isinstance(lookup, str) and "@" not in lookup and _VERSION.fullmatch(version):
            rest = extra if version is action else extra[1:]
            raise UsageFailure(f"A release is one word: '{shlex.join([*path.split(), f'{lookup}@{version}', *rest])}'.")
        if self._takes_params():
            raise UsageFailure(_params_as_arguments(extra, given))
        hint = f"Did you mean --plugin {shown}? " if "--plugin" in self._options() else ""
        raise UsageFailure(f"Unexpected: {shown}. {hint}'{path} --help' shows the arguments of {self.name}.")


def _actions_of(lookup: str | None, path: Path | None) -> str:
    """Return the sentence that names the actions of a folder, or the command that shows those of a release."""
    if lookup and not is_path(lookup):
        check_no_folder(lookup)
        return f"'synapse-agent get {lookup}' shows the actions of {lookup}."
    from synapse_agent.plugins.config import read_config  # loads YAML, which few commands need

    folder = Path(lookup or path or ".")
    with suppress(Problem):
        actions = read_config(plugin_folder(folder)).get("actions")
        if isinstance(actions, Mapping) and actions:
            return f"Available: {', '.join(map(str, actions))}."
    return f"'synapse-agent check {folder}' reports its faults."


def _names_release(text: str) -> bool:
    return bool(_RELEASE.fullmatch(text)) or is_path(text)


def _near_option(option: str, near: str) -> str:
    return f"No such option: {option}. Did you mean {near}? Params are written as -p KEY=VALUE."


def _param_as_option(option: str, typed: Sequence[str]) -> str:
    """Return the line for a param that was written as an option: `--epochs 2`, `--epochs=2` or `-epochs 2`."""
    at = next((index for index, each in enumerate(typed) if each.startswith(option)), None)
    if at is None:
        return f"No such option: {option}. Write params as -p {option.lstrip('-')}=VALUE."
    name, equals, value = typed[at].partition("=")
    following = typed[at + 1] if at + 1 < len(typed) else "-"
    if not equals:
        value = "true" if following.startswith("-") else following
    return f"No such option: {name}. Write params as {_as_param(name.lstrip('-'), value)}."


def _params_as_arguments(extra: Sequence[str], given: Mapping[str, Any]) -> str:
    """Return the line for params that were written as arguments: `epochs=2`, JSON, or the value after `-p epochs`."""
    *_, last = given.get("param") or ("",)
    if last and "=" not in last:
        return f"-p takes KEY=VALUE: write {_as_param(last, extra[0])}."
    if _is_object(" ".join(extra)):
        return f"Unexpected: {shlex.join(extra)}. Write params of JSON as --params {shlex.quote(' '.join(extra))}."
    pairs = [each.partition("=") for each in extra]
    if all(name and equals for name, equals, _ in pairs):
        meant = " ".join(_as_param(name.lstrip("-"), value) for name, _, value in pairs)
        return f"Unexpected: {shlex.join(extra)}. Write params as {meant}."
    if last:
        return (
            f"Unexpected: {shlex.join(extra)}. Quote a value with blanks: -p {shlex.quote(' '.join((last, *extra)))}."
        )
    return f"Unexpected: {shlex.join(extra)}. Write params as -p KEY=VALUE."


def _as_param(name: str, value: str) -> str:
    return f"-p {shlex.quote(f'{name}={value}')}"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def plainly(message: str) -> str:
    """Return the library's error about a value, in plain words."""
    for pattern, text in _PLAIN:
        message = pattern.sub(text, message)
    return message


def near_releases(lookup: str, releases: Sequence[str]) -> list[str]:
    """Return the releases that a lookup may have meant, the most similar first."""
    code, _, version = _SEPARATORS.sub("@", lookup, count=1).partition("@")
    if f"{version}@{code}" in releases:
        return [f"{version}@{code}"]
    codes = get_close_matches(code, {each.partition("@")[0] for each in releases}, n=_MOST_SUGGESTED, cutoff=_NEAR)
    of_them = [each for each in releases if each.partition("@")[0] in codes]
    return get_close_matches(f"{code}@{version}", of_them, n=_MOST_SUGGESTED, cutoff=0.0)
