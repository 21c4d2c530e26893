"""Convert values of Python, numpy, pandas and the like to what JSON can express."""

from __future__ import annotations

import sys
from collections.abc import Iterator, KeysView, Mapping, Set, ValuesView
from enum import Enum
from itertools import islice
from math import isfinite
from typing import Any, NamedTuple

from .json_check import MAX_DEPTH
from .result_files import LARGEST_BYTES, ResultFiles

MAX_PLACES = 100
"""Places of NaN and infinities that are listed; the others are counted."""
_ATOMS = frozenset((str, int, bool, type(None)))
_ATOMS_AND_FLOATS = _ATOMS | {float}
_KEYS = (str, int, float, type(None))
_MAX_PATH = 200
_MAX_SHOWN = 1000
_WRITTEN_AS_TEXT = (
    *(("uuid", "UUID"), ("decimal", "Decimal"), ("fractions", "Fraction")),
    *(("ipaddress", name) for name in ("_BaseAddress", "_BaseNetwork")),
    *(("pandas", "Period"), ("pandas", "Interval")),
)
_FINER_THAN_MICROSECONDS = ("[ns]", "[ps]", "[fs]", "[as]")
_METHODS = ("isoformat", "__fspath__", "tolist", "to_dicts", "to_list", "to_pylist")
"""Methods of dates, paths, arrays, and of frames and columns of libraries other than pandas."""


class Unsayable(Exception):
    """A value that JSON can't express: its path, and the fault."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.path = path
        self.why = why


class NonFinite(NamedTuple):
    """The NaN and infinities that became `null`."""

    total: int
    places: list[dict[str, str]]

    @property
    def fields(self) -> dict[str, Any]:
        """The field of an event or a record that lists them; empty if all numbers were finite."""
        return {"nonfinite": {"count": self.total, "places": self.places}} if self.total else {}


class Conversion:
    """Converts one value to lists, dicts and scalars, and records what became `null`."""

    def __init__(
        self,
        *,
        root: str = "$",
        lenient: bool = False,
        most_items: int = sys.maxsize,
        files: ResultFiles | None = None,
    ) -> None:
        """Raise `Unsayable` for what JSON can't express or, if `lenient`, replace it by its `repr`.

        `most_items` limits how much of an iterator is read, which may be endless; if `lenient`, it stays unread. With
        `files`, some values become files of the job.
        """
        self._root = root
        self._is_lenient = lenient
        self._most_items = most_items
        self._files = files
        self._steps: list[Any] = []
        self._above: set[int] = set()
        self._depth = 0
        self._count = 0
        self._places: list[dict[str, str]] = []

    @property
    def nonfinite(self) -> NonFinite:
        """The values that became `null` so far."""
        return NonFinite(self._count, self._places)

    def convert(self, value: Any) -> Any:
        """Return a value made of lists, dicts with text keys, text, finite numbers, booleans and None."""
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + 5 * MAX_DEPTH)
        try:
            return self._of(value)
        except RecursionError:
            raise Unsayable(self._root, f"is nested more than {MAX_DEPTH} levels deep") from None
        finally:
            sys.setrecursionlimit(limit)

    def _of(self, value: Any) -> Any:
        if isinstance(value, (str, int, type(None))):
            return value
        if isinstance(value, float):
            return value if isfinite(value) else self._null(value)
        steps, depth = len(self._steps), self._depth
        try:
            return self._of_parts(value)
        except Unsayable:
            if not self._is_lenient:
                raise
            del self._steps[steps:]
            self._depth = depth
            return shown(value)

    def _of_parts(self, value: Any) -> Any:
        if id(value) in self._above:
            raise self._fault("contains itself")
        self._above.add(id(value))
        try:
            if isinstance(value, dict):
                return self._of_dict(value)
            if isinstance(value, (list, tuple)):
                return self._of_list(value)
            return self._of(self._simpler(value))
        finally:
            self._above.discard(id(value))

    def _of_list(self, values: Any) -> list[Any]:
        kinds = set(map(type, values))
        if kinds <= _ATOMS or (kinds <= _ATOMS_AND_FLOATS and all(map(_is_finite, values))):
            return list(values)
        self._enter()
        found = []
        for index, value in enumerate(values):
            self._steps.append(index)
            found.append(self._of(value))
            self._steps.pop()
        self._depth -= 1
        return found

    def _of_dict(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        self._enter()
        found: dict[str, Any] = {}
        for key, value in values.items():
            text = key if type(key) is str else self._key(key)
            if text in found:
                other = next(each for each in values if self._key(each) == text)
                raise self._fault(f"has the keys {other!r:.60} and {key!r:.60}, which are both written as {text!r:.60}")
            self._steps.append(text)
            found[text] = self._of(value)
            self._steps.pop()
        self._depth -= 1
        return found

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unsayable(self._root, f"is nested more than {MAX_DEPTH} levels deep")

    def _key(self, key: Any) -> str:
        atom = key
        try:
            while not isinstance(atom, _KEYS):
                if isinstance(atom, (dict, list, tuple)):
                    raise TypeError
                atom = simpler(atom)
        except Exception:  # the plugin's code may raise anything
            if self._is_lenient:
                return shown(key)
            raise self._fault(f"has the key {shown(key):.60}, of type {type(key).__name__}") from None
        return _text_of_key(atom)

    def _simpler(self, value: Any) -> Any:
        try:
            if isinstance(value, Iterator) and not hasattr(value, "read") and not self._is_lenient:
                items = list(islice(value, self._most_items + 1))
                if len(items) > self._most_items:
                    raise ValueError(f"it has more than {self._most_items} items")
                return items
            return simpler(value, self._files)
        except Exception as error:  # as above
            why = "" if isinstance(error, TypeError) and not error.args else f": {shown(error, str)}"
            raise self._fault(f"is of type {type(value).__name__}{why}") from error

    def _null(self, value: float) -> None:
        self._count += 1
        if len(self._places) < MAX_PLACES:
            self._places.append({"path": self._path(), "value": _text_of_key(value)})

    def _fault(self, why: str) -> Unsayable:
        return Unsayable(self._path(), why)

    def _path(self) -> str:
        path = self._root + "".join(map(_step, self._steps))
        return path if len(path) <= _MAX_PATH else path[:_MAX_PATH] + "…"


def simpler(value: Any, files: ResultFiles | None = None) -> Any:
    """Convert a value that JSON can't express, one level deep; raise `TypeError` if that is impossible."""
    if files is not None and (reference := files.reference(value)) is not None:
        return reference
    if isinstance(value, type):
        raise TypeError
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _base64(bytes(value))
    if hasattr(value, "model_dump"):
        return _dumped(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Set, ValuesView, range)):
        return _listed(value)
    if _is_any(value, _WRITTEN_AS_TEXT):
        return str(value)
    return _of_libraries(value)


def shown(value: Any, show: Any = repr) -> str:
    """Return the shortened `repr` of a value; a plugin's class may break it in any way."""
    try:
        text: str = show(value)
        return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    except Exception:
        return f"({type(value).__name__} whose {show.__name__} cannot be shown)"


def has_text_keys(value: Any) -> bool:
    """Return whether all keys in lists and dicts are text: other keys may become the same text."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if not set(map(type, part)) <= {str}:
                return False
            part = part.values()
        elif not isinstance(part, (list, tuple)):
            continue
        if not set(map(type, part)) <= _ATOMS_AND_FLOATS:
            waiting.extend(part)
    return True


def _of_libraries(value: Any) -> Any:
    pandas = sys.modules.get("pandas")
    if pandas is not None and any(value is getattr(pandas, name, pandas) for name in ("NA", "NaT")):
        return None
    if _is_any(value, (("datetime", "timedelta"),)):
        return value.total_seconds()
    if _is_any(value, (("pandas", "DataFrame"),)):
        return _records(value)
    if _is_any(value, (("collections", "deque"),)):
        return list(value)
    if _is_any(value, (("numpy", "generic"), ("numpy", "ndarray"))):
        return _of_numpy(value)
    for name in _METHODS:
        method = getattr(value, name, None)
        if method is not None:
            return method()
    raise TypeError


def _of_numpy(value: Any) -> Any:
    if value.dtype.kind in "mM" and value.dtype.str.endswith(_FINER_THAN_MICROSECONDS):
        value = value.astype(f"{value.dtype.kind}8[us]")  # else Python receives a count of nanoseconds
    plain = value.tolist()
    if isinstance(plain, type(value)):  # a long double stays a long double
        return float(value)
    return plain


def _records(frame: Any) -> list[dict[Any, Any]]:
    """Return a frame's rows; a column keeps its type, which a row of mixed columns would lose."""
    names = list(frame.columns)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"it has two columns {twice!r:.60}")
    columns = [frame.iloc[:, index].tolist() for index in range(len(names))]
    return [dict(zip(names, row)) for row in zip(*columns)] if names else [{} for _ in range(len(frame))]


def _dumped(model: Any) -> Any:
    try:
        return model.model_dump(mode="json")
    except ValueError:  # it contains values that pydantic can't serialize
        return model.model_dump()


def _listed(values: Any) -> list[Any]:
    """Return a list with the same order in each run, which a set does not have."""
    if isinstance(values, (range, KeysView, ValuesView)):
        return list(values)
    try:
        return sorted(values)
    except Exception:  # not comparable
        return list(values)


def _base64(value: bytes) -> str:
    if len(value) > LARGEST_BYTES:
        raise ValueError(f"it has {len(value)} bytes, and at most {LARGEST_BYTES} are written as base64")
    from binascii import b2a_base64

    return b2a_base64(value, newline=False).decode()


def _is_any(value: Any, kinds: Any) -> bool:
    """Return whether a value is of one of these classes, named by module and name; if not imported, it can't be."""
    found = (getattr(sys.modules.get(module), name, None) for module, name in kinds)
    return any(isinstance(kind, type) and isinstance(value, kind) for kind in found)


def _is_finite(value: Any) -> bool:
    return type(value) is not float or isfinite(value)


def _text_of_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return "null" if key is None else str(key).lower()
    if not isinstance(key, float):
        return int.__repr__(key)
    if isfinite(key):
        return float.__repr__(key)
    return "NaN" if key != key else "Infinity" if key > 0 else "-Infinity"


def _step(step: Any) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{shown(step):.60}]"
