"""Read `requirements.txt` of pip, pip-compile and uv, without installing anything."""

from __future__ import annotations

import codecs
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from synapse_agent.plugins.files import plugin_file
from synapse_agent.plugins.requirements import (
    ARCHIVE_SUFFIXES,
    URLS_ALLOWED,
    RequirementRules,
    invalid_requirement,
    local_requirement,
    requirement,
)
from synapse_agent.problems import Problem
from synapse_agent.storage.trees import file_digest

REQUIREMENTS_FILE = "requirements.txt"

_MAX_FILES = 20
_BOMS = (
    *((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
_COMMENT = re.compile(r"(^|\s)#.*|(?<=[\w\]])#(?!\S*=).*")
_HASH = re.compile(r"\s--hash[= ]\s*(sha(?:256|384|512):[0-9a-fA-F]+)(?=\s|$)")
_PATH = re.compile(r"(?P<path>\.{1,2}(?:/.*?)?|/.*?|[^\s;@]*?(?:\.whl|\.zip|\.tar\.\w+|\.tgz))(?P<extras>\[[^\]]*\])?")
_NAMES = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-f": "--find-links",
    "-i": "--index-url",
    "--pypi-url": "--index-url",
}
_PASSED_ON = ("--pre", "--no-index", "--require-hashes", "--no-binary", "--only-binary")
_WITHOUT_VALUE = ("--pre", "--no-index", "--require-hashes", "--prefer-binary")
_INDEXES = ("--index-url", "--extra-index-url", "--trusted-host")


class RequirementReader:
    """Reads the requirement files of one plugin, which may include each other."""

    def __init__(self, folder: Path, rules: RequirementRules) -> None:
        self._folder = folder
        self._root = folder.resolve()
        self._rules = rules
        self._read: set[tuple[Path, bool]] = set()

    def lines(self, name: str = REQUIREMENTS_FILE) -> tuple[str, ...]:
        """Return a file's requirements, in the form of `requirements`; raise `Problem` 422 for an invalid line."""
        return tuple(dict.fromkeys(self._file(self._folder / name, name, is_constraint=False)))

    def _file(self, path: Path, name: str, *, is_constraint: bool) -> Iterator[str]:
        key = (path.resolve(), is_constraint)
        if key in self._read:
            return
        self._read.add(key)
        if len(self._read) > _MAX_FILES:
            raise Problem(422, "invalid_requirement", f"{name}: more than {_MAX_FILES} files include each other.")
        for number, text in _logical_lines(_text(path, name)):
            place = f"{name}, line {number},"
            if text.startswith("-"):
                yield from self._option(text, place, path.parent, is_constraint=is_constraint)
            else:
                line = self._requirement(text, place, path.parent)
                yield f"-c {line}" if is_constraint else line

    def _option(self, text: str, place: str, beside: Path, *, is_constraint: bool) -> Iterator[str]:
        option, value = _option(text, place)
        if option in ("--requirement", "--constraint"):
            path = self._inside(value, text, place, beside)
            if not path.is_file():
                raise invalid_requirement(text, place, f"the plugin has no file {value!r}")
            name = os.path.relpath(path, self._root)
            yield from self._file(path, name, is_constraint=is_constraint or option == "--constraint")
        elif option == "--editable":
            yield self._requirement(value, place, beside, line=text)
        elif option == "--find-links" and self._rules.urls and "://" in value:
            yield f"--find-links {value}"
        elif option == "--find-links":
            yield f"--find-links {local_requirement(self._inside(value, text, place, beside))}"
        elif option in _INDEXES and self._rules.urls:
            yield f"{option} {value}"
        elif option in _INDEXES:
            why = "indexes are set by the agent: `serve --index-url` and `--extra-index-url`"
            raise invalid_requirement(text, place, why)
        elif option in _PASSED_ON:
            yield f"{option} {value}".strip()

    def _requirement(self, text: str, place: str, beside: Path, *, line: str = "") -> str:
        line = line or text
        hashes = sorted(match[1].lower() for match in _HASH.finditer(f" {text}"))
        bare = _HASH.sub("", f" {text}").strip()
        local = None if self._rules.urls and "://" in bare else _PATH.fullmatch(bare)
        if local is None:
            return " ".join([requirement(bare, place, self._rules), *(f"--hash={each}" for each in hashes)])
        path = self._inside(local["path"], line, place, beside)
        if not path.is_dir() and path.suffix not in ARCHIVE_SUFFIXES:
            raise invalid_requirement(line, place, "it is neither the folder of a package nor an archive")
        if path.is_dir() and not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
            raise invalid_requirement(
                text, place, f"the folder {local['path']!r} has no pyproject.toml and no setup.py"
            )
        if hashes and path.is_file() and file_digest(path) not in hashes:
            raise invalid_requirement(line, place, f"the file's hash is {file_digest(path)}")
        return local_requirement(path, local["extras"] or "")

    def _inside(self, text: str, line: str, place: str, beside: Path) -> Path:
        """Return the path of a file in the plugin, relative to its folder or to that of the requirements file."""
        if "://" in text:
            why = "it is an address, and must be a path in the plugin"
            raise invalid_requirement(line, place, why if self._rules.urls else f"{why}: addresses {URLS_ALLOWED}")
        paths = [(base / text).resolve() for base in (beside, self._root)]
        inner = [path for path in paths if self._rules.urls or path.is_relative_to(self._root)]
        if not inner:
            raise invalid_requirement(line, place, "it is outside of the plugin's folder")
        found = next((path for path in inner if path.exists()), None)
        if found is None:
            raise invalid_requirement(line, place, f"the plugin has no {text!r}")
        return found


def _text(path: Path, name: str) -> str:
    """Decode by the mark at the beginning, else as UTF-8, else as latin-1: only a comment can be anything but ASCII."""
    data = plugin_file(path, name)
    encoding = next((encoding for mark, encoding in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8":
            return data.decode("latin-1")
        raise Problem(422, "invalid_requirement", f"{name} cannot be read as {encoding}.") from error


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines without comments, continued ones joined, each with its first line number."""
    held, first = "", 0
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        first = first if held else number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            held += f"{line[:-1]} "
            continue
        whole, held = _COMMENT.sub("", held + line).strip(), ""
        if whole:
            yield first, whole
    if held.strip():
        yield first, _COMMENT.sub("", held).strip()


def _option(text: str, place: str) -> tuple[str, str]:
    try:
        first, *rest = shlex.split(text)
    except ValueError as error:
        raise invalid_requirement(text, place, f"it cannot be read: {error}") from error
    name, _, value = first.partition("=") if first.startswith("--") else (first[:2], "", first[2:])
    option = _NAMES.get(name, name)
    values = [*([value] if value else []), *rest]
    if option not in (*_NAMES.values(), *_PASSED_ON, *_WITHOUT_VALUE, *_INDEXES):
        raise invalid_requirement(text, place, f"the option {name} is not supported")
    if len(values) != (0 if option in _WITHOUT_VALUE else 1):
        raise invalid_requirement(
            text, place, f"the option {name} takes {'no' if option in _WITHOUT_VALUE else 'one'} value"
        )
    return option, values[0] if values else ""
