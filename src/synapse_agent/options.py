"""The settings as options of `serve`, from which variables and configuration keys follow."""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass
from typing import Any

from synapse_agent.util.sizes import LARGEST_NUMBER, exact_size

PLUGINS = "Sources of plugins"
ACCESS = "Address and callers"
RUNS = "Runs"
SANDBOX = "Permissions of actions"
LIMITS = "Limits"
DATA = "Stored data"
CLUSTER = "Ray cluster"
OBSERVE = "Log and metrics"
DEVELOPMENT = "Development"
"""The panels of `serve --help`, in which the options are grouped."""
SIZE = "SIZE"
"""The metavar of an option for a number of bytes."""


@dataclass(frozen=True, slots=True)
class Option:
    """A setting as an option of `serve`."""

    panel: str
    help: str
    metavar: str | None = None
    """The option's value in the help; None for a flag."""
    name: str | None = None
    """The option's name, if it differs from the setting's."""
    least: int | None = None
    most: int = LARGEST_NUMBER
    shown: str | None = None
    """The default as shown to users, if it depends on the machine or on other settings."""
    served: int | None = None
    """The default of `serve`, if it differs from the setting's."""


def option_of(setting: Field[Any]) -> Option:
    """Return the option of a setting."""
    option: Option = setting.type.__metadata__[0]  # type: ignore[union-attr]
    return option


def type_of(setting: Field[Any]) -> Any:
    """Return the type of a setting's value."""
    return setting.type.__origin__  # type: ignore[union-attr]


def option_name(setting: Field[Any]) -> str:
    """Return the name of a setting's option: `--max-zygotes`, `--sandbox/--no-sandbox`."""
    name = f"--{setting.name.replace('_', '-')}"
    return option_of(setting).name or (f"{name}/--no-{name[2:]}" if type_of(setting) is bool else name)


def variable_name(option: str) -> str:
    """Return the variable of an option: `SYNAPSE_AGENT_MAX_ZYGOTES`."""
    return f"SYNAPSE_AGENT_{option.partition('/')[0].removeprefix('--').replace('-', '_').upper()}"


def shown_default(setting: Field[Any]) -> str | None:
    """Return the default of a setting's option as shown to users; None if omitting it means none."""
    option = option_of(setting)
    value = setting.default if option.served is None else option.served
    if value is MISSING or value is None:
        return option.shown
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or option.shown
    if option.metavar == SIZE:
        return exact_size(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
