"""How `serve` offers the agent's settings: as options, and from these as variables and as keys of a file."""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass
from typing import Any

from synapse_agent.util.sizes import LARGEST_NUMBER, exact_size

PLUGINS = "Where plugins come from"
ACCESS = "Address and callers"
RUNS = "Runs"
SANDBOX = "What actions may do"
LIMITS = "Limits"
DATA = "What is kept"
CLUSTER = "Ray cluster"
OBSERVE = "Log and figures"
DEVELOPMENT = "Development"
"""The panels of `serve --help`, in which the options are grouped."""
SIZE = "SIZE"
"""What an option takes whose setting is a number of bytes."""


@dataclass(frozen=True, slots=True)
class Option:
    """How `serve` offers one setting."""

    panel: str
    help: str
    metavar: str | None = None
    """What the option takes; None for a flag."""
    name: str | None = None
    """The option's name, if it is not the setting's."""
    least: int | None = None
    most: int = LARGEST_NUMBER
    shown: str | None = None
    """The default as users read it, if it depends on the machine or on other settings."""
    served: int | None = None
    """The default of `serve`, if it is not the setting's."""


def option_of(setting: Field[Any]) -> Option:
    """Return how `serve` offers a setting."""
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
    """Return the variable that stands for an option: `SYNAPSE_AGENT_MAX_ZYGOTES`."""
    return f"SYNAPSE_AGENT_{option.partition('/')[0].removeprefix('--').replace('-', '_').upper()}"


def shown_default(setting: Field[Any]) -> str | None:
    """Return the default of a setting's option as users read it; None if leaving it out means none."""
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
