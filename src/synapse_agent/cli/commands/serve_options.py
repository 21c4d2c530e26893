"""The options of `synapse-agent serve`, made from the fields of `Settings`, and its configuration file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from synapse_agent.cli.options import signed
from synapse_agent.errors import UsageError
from synapse_agent.options import SIZE, option_name, option_of, shown_default, type_of, variable_name
from synapse_agent.settings import Settings
from synapse_agent.storage.token_file import below
from synapse_agent.util.sizes import parse_size

SETTINGS = {each.name: each for each in fields(Settings)}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option to a command for each setting; omitted ones are None."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    options = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option_of(each).served,
            annotation=_annotation(each),
        )
        for each in SETTINGS.values()
    ]
    return signed(command, options + [each for each in own if each.kind is not each.VAR_KEYWORD])


def setting_option(name: str, *, envvar: str | None = None) -> Any:
    """Return the option for a setting."""
    setting = SETTINGS[name]
    option = option_of(setting)
    return typer.Option(
        option_name(setting),
        metavar=option.metavar,
        help=f"{option.help}{default_of(name)}",
        show_default=False,
        envvar=envvar,
        show_envvar=False,
        parser=size if option.metavar == SIZE else None,
        rich_help_panel=option.panel,
    )


def default_of(name: str) -> str:
    """Return the end of a help text: the default."""
    default = shown_default(SETTINGS[name])
    return "" if default is None else f" [default: {default}]"


def _annotation(setting: Field[Any]) -> Any:
    envvar = variable_name(option_name(setting))
    return Annotated[_type(setting), setting_option(setting.name, envvar=envvar)]


def _type(setting: Field[Any]) -> Any:
    kind = type_of(setting)
    return (list.__class_getitem__(get_args(kind)[0]) if get_origin(kind) is tuple else kind) | None


def size(text: str | int) -> int:
    """Parse the value of a size option into bytes."""
    try:
        return parse_size(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def use_configuration(context: typer.Context, path: Path | None) -> Path | None:
    """Read from a TOML file what neither command line nor environment has; its keys are the options' names."""
    if path is None or context.resilient_parsing:
        return path
    import tomllib  # rarely needed

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"The configuration file {path} cannot be read: {why}") from error
    options = {each.opts[0].removeprefix("--"): each for each in context.command.params if each.name != "config"}
    for key in table:
        if key not in options:
            close = get_close_matches(key.replace("_", "-"), options, n=1)
            advice = f"Did you mean {close[0]}?" if close else "'synapse-agent serve --help' lists the options."
            raise UsageError(f"{path}: {key!r} is not an option of serve. {advice}")
    context.default_map = {
        str(options[key].name): _configured(context, options[key], value, path) for key, value in table.items()
    }
    return path


def _configured(context: typer.Context, option: Any, value: Any, path: Path) -> Any:
    """Check a value of a configuration file; its paths are relative to the file's folder."""
    source = f"{path}: {option.opts[0].removeprefix('--')}"
    if isinstance(value, str) and option.name == "token_files":  # most agents have one
        value = [value]
    if isinstance(value, list) != option.multiple:
        raise UsageError(f"{source} must {'' if option.multiple else 'not '}be a list: {value!r}.")
    values = value if option.multiple else [value]
    for each in values:
        if not isinstance(each, str | int | float) or isinstance(each, bool) != option.is_flag:
            kind = "true or false" if option.is_flag else "text or a number"
            raise UsageError(f"{source} must be {kind}, not {each!r}.")
    if option.type.name == "path":
        values = [str(path.parent / str(each)) for each in values]
    if option.name == "token_files":
        values = [below(path.parent, str(each)) for each in values]
    try:
        for each in values:
            option.type(each, param=option, ctx=context)
    except typer.BadParameter as error:
        raise UsageError(f"{source}: {error.message}") from error
    return values if option.multiple else values[0]
