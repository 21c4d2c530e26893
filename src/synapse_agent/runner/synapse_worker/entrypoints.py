"""Find the plugin's object that an entrypoint names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .failures import ActionFailure


def load(entrypoint: str, *, folder: str) -> Any:
    """Import what `package.module:attribute` or `package.module.attribute` names.

    Raises `ActionFailure` `entrypoint_not_found` if the module or attribute does not exist. Errors of the plugin's own
    import are passed on.
    """
    for module_name, attributes in _readings(entrypoint):
        if _exists(module_name):
            _check_not_hidden(entrypoint, module_name.partition(".")[0], folder)
            return _attribute(entrypoint, sys.modules[module_name], attributes)
    module_name, _ = next(_readings(entrypoint))
    if _look_further(module_name.partition(".")[0], folder):
        return load(entrypoint, folder=folder)
    raise _not_found(entrypoint, f"module '{module_name}' was not found in the plugin or its environment")


def _readings(entrypoint: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return each (module, attributes) that the text can mean; in a dotted text, the last part is likely the name."""
    module, colon, attribute = entrypoint.partition(":")
    if not all(part.isidentifier() for part in f"{module}.{attribute or 'x'}".split(".")) or (colon and not attribute):
        raise _not_found(entrypoint, "it must be of the form 'package.module:attribute'")
    if colon:
        yield module, tuple(attribute.split("."))
        return
    parts = module.split(".")
    if len(parts) == 1:
        raise _not_found(entrypoint, "the attribute is missing; write it as 'package.module:attribute'")
    for end in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:end]), tuple(parts[end:])


def _exists(module_name: str) -> bool:
    """Import a module; return False if the module itself was not found."""
    try:
        __import__(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            return False
        raise
    except ImportError as error:
        if error.name == module_name and (error.path or "").endswith(".pyc"):
            compiled = os.path.basename(error.path or "")
            raise _not_found(
                module_name, f"its module exists only compiled, as {compiled}, but not for this Python: {error}"
            ) from None
        raise
    return True


def _look_further(top: str, folder: str) -> bool:
    """Make the modules in `src/` importable, then the plugin's folder itself as a package named `top`.

    Return False if neither is left to try.
    """
    source = os.path.join(folder, "src")
    if os.path.isdir(source) and source not in sys.path:
        sys.path.insert(1, source)
        return True
    initial = os.path.join(folder, "__init__.py")
    if not os.path.isfile(initial) or top in sys.modules:
        return False
    from importlib.util import module_from_spec, spec_from_file_location  # rarely needed

    spec = spec_from_file_location(top, initial, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        return False
    sys.modules[top] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[top])
    return True


def _check_not_hidden(entrypoint: str, top: str, folder: str) -> None:
    """Raise an error for a plugin's module that one of the standard library with the same name hides."""
    in_plugin = os.path.join(folder, top)
    loaded = getattr(sys.modules[top], "__file__", None) or in_plugin
    is_there = os.path.exists(in_plugin + ".py") or os.path.exists(os.path.join(in_plugin, "__init__.py"))
    if is_there and not os.path.abspath(loaded).startswith(in_plugin):
        raise _not_found(entrypoint, f"Python's own module '{top}' hides the plugin's; rename the plugin's")


def _attribute(entrypoint: str, module: ModuleType, attributes: tuple[str, ...]) -> Any:
    found: Any = module
    for name in attributes:
        try:
            found = getattr(found, name)
        except AttributeError:
            holder = getattr(found, "__name__", type(found).__name__)
            raise _not_found(entrypoint, f"'{holder}' has no '{name}'{_what_there_is(found)}") from None
    return found


def _what_there_is(holder: Any) -> str:
    own = getattr(holder, "__name__", None)
    values = getattr(holder, "__dict__", {}).items()
    names = [name for name, value in values if callable(value) and getattr(value, "__module__", None) == own]
    public = sorted(name for name in names if not name.startswith("_"))
    return f"; it has {', '.join(public[:20])}" if public else ""


def _not_found(entrypoint: str, why: str) -> ActionFailure:
    return ActionFailure("entrypoint_not_found", f"entrypoint '{entrypoint}': {why}", entrypoint=entrypoint)
