"""Releases that don't exist, or are invalid."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import until

from synapse_sdk.exceptions import NotFoundError, ValidationError

WriteFiles = Callable[[Path, Mapping[str, str | bytes]], Path]


def config(code: str, version: str = "1.0.0", more: str = "") -> str:
    return f"code: {code}\nversion: {version}\n{more}\n"


def archive(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["get_plugin_release", "delete_plugin_release", "run_plugin_release"])
@pytest.mark.parametrize(
    ("lookup", "hint"),
    [
        ("unheard_of@1.0.0", "Create it first."),
        ("987654", "Create it first."),
        ("unheard_of", "Pass an ID or code@version."),
    ],
)
def test_a_release_that_is_not_cached_is_not_found(facade, name, lookup, hint):
    """404 with the caller's lookup, and advice."""
    error = facade.error(name, lookup, *(["go"] if name.startswith("run") else []))
    assert type(error) is NotFoundError
    assert (error.status_code, error.error_type, error.outcome) == (404, "release_not_found", "rejected")
    assert error.message == f"The release '{lookup}' was not found on this agent. {hint}"


def test_a_plugin_that_is_not_there_is_answered_with_those_there_are(facade, plugins, write_files: WriteFiles):
    """Invalid plugins are listed, too: one of them may be the wanted one.

    The names sort first, since only the first ten of each kind are listed.
    """
    write_files(plugins / "a-seen", {"config.yaml": config("a_seen")})
    write_files(plugins / "a-folder", {"config.yaml": "code: [never_seen"})
    error = facade.error("create_plugin_release", "never_seen", "1.0.0")
    assert type(error) is NotFoundError
    assert error.message.startswith("'never_seen@1.0.0' was not found. Available plugins: ")
    assert "a_seen" in error.message
    assert "Invalid plugins: " in error.message
    assert "a-folder" in error.message


def test_a_version_that_is_not_there_is_answered_with_those_there_are(facade, plugins, write_files: WriteFiles):
    """The answer is 404, and lists the available versions."""
    write_files(plugins / "versioned", {"config.yaml": config("versioned", "2.0.0")})
    error = facade.error("create_plugin_release", "versioned", "3.0.0")
    assert (type(error), error.error_type) == (NotFoundError, "release_not_found")
    assert error.message.startswith("'versioned@3.0.0' was not found. Available: 2.0.0.")


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("bare", {"main.py": ""}, "bare: the plugin's folder has no config.yaml"),
        (
            "torn",
            {"config.yaml": "code: torn\nactions: [train\nversion: 1\n"},
            "torn: config.yaml is not YAML: line 3, column 8: expected ',' or ']', but got ':'",
        ),
        ("latin", {"config.yaml": b"code: caf\xe9\n"}, "latin: config.yaml is not YAML: "),
        ("listed", {"config.yaml": "- code\n"}, "listed: config.yaml must be a mapping, not a list"),
        ("nameless", {"config.yaml": "version: 1.0.0\n"}, "nameless: config.yaml: `code` is missing"),
        ("unnamed", {"config.yaml": config("''")}, "unnamed: config.yaml: `code` is empty"),
        ("coded", {"config.yaml": config("[coded]")}, "coded: config.yaml: `code` must be text, not a list"),
        (
            "mapped",
            {"config.yaml": config("mapped", "{major: 1}")},
            "mapped: config.yaml: `version` must be text, not a mapping",
        ),
        (
            "acting",
            {"config.yaml": config("acting", more="actions: [train]")},
            "acting: config.yaml: `actions` must be a mapping, not a list",
        ),
        (
            "entering",
            {"config.yaml": config("entering", more="actions: {train: {entrypoint: [a, b]}}")},
            "entering: config.yaml: `actions.train.entrypoint` must be text, not a list",
        ),
        (
            "methodical",
            {"config.yaml": config("methodical", more="actions: {train: {method: jobb}}")},
            "methodical: config.yaml: `actions.train.method` is 'jobb'. Known: local, task, job",
        ),
        (
            "surrounded",
            {"config.yaml": config("surrounded", more="env: [A=1]")},
            "surrounded: config.yaml: `env` must be a mapping, not a list",
        ),
        (
            "pythonic",
            {"config.yaml": config("pythonic", more="requires: {python: new}")},
            "pythonic: config.yaml: `requires.python` is 'new', not a version specifier such as '>=3.10,<3.13'",
        ),
    ],
)
def test_a_folder_that_is_not_a_plugin_is_refused_with_the_reason(
    facade, plugins, write_files: WriteFiles, name, files, said
):
    """The answer is 422 with the folder, the key and what is wrong with it."""
    write_files(plugins / name, files)
    error = facade.error("create_plugin_release", name, "1.0.0")
    assert type(error) is ValidationError
    assert (error.status_code, error.error_type, error.outcome) == (422, "invalid_plugin", "rejected")
    assert error.message.startswith(said)


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("piped", os.mkfifo, "piped: config.yaml is not a file"),
        ("foldered", Path.mkdir, "foldered: config.yaml is not a file"),
        (
            "endless",
            lambda path: path.write_bytes(b"#" * 300_000),
            "endless: config.yaml has 300000 bytes; the limit is 262144",
        ),
    ],
)
def test_a_config_that_is_no_file_or_has_no_end_is_not_read(facade, plugins, name, make, said):
    """Reading a pipe would also block the caching of every other plugin."""
    if not (plugins / name).exists():
        (plugins / name).mkdir()
        make(plugins / name / "config.yaml")
    error = facade.error("create_plugin_release", name, "1.0.0")
    assert (error.error_type, error.message) == ("invalid_plugin", said)


def test_a_version_is_the_text_that_was_written(facade, plugins, write_files: WriteFiles):
    """An unquoted `version: 1.10` is the text "1.10"."""
    write_files(plugins / "tenth", {"config.yaml": config("tenth", "1.10")})
    assert facade.create_plugin_release("tenth", "1.10")["version"] == "1.10"
    assert facade.get_plugin_release("tenth@1.10")["version"] == "1.10"
    facade.delete_plugin_release("tenth@1.10")
    error = facade.error("create_plugin_release", "tenth", "1.1")
    assert error.message.startswith("'tenth@1.1' was not found. Available: 1.10.")


def test_two_folders_that_claim_one_release_are_both_named(facade, plugins, write_files: WriteFiles):
    """The answer is 422: the agent does not choose one."""
    for folder in ("claim_a", "claim_b"):
        write_files(plugins / folder, {"config.yaml": config("claimed")})
    error = facade.error("create_plugin_release", "claimed", "1.0.0")
    assert (type(error), error.error_type) == (ValidationError, "ambiguous_release")
    assert error.message == ("claimed@1.0.0 is ambiguous: claim_a, claim_b have this code and version.")


@pytest.mark.parametrize(("plugin", "version", "said"), [("", "1.0.0", "plugin"), ("small", "", "version")])
def test_an_empty_name_is_refused_before_anything_is_sent(facade, plugin, version, said):
    """The agent refuses it too: see `test_wire`."""
    with pytest.raises(ValueError, match=rf"^{said} is empty\.$"):
        facade.create_plugin_release(plugin, version)


def test_a_plugin_may_be_one_folder_down_in_its_archive(facade, plugins, write_files: WriteFiles):
    """Packing the folder itself produces such an archive."""
    files = {"packed-1.0.0/config.yaml": config("packed"), "packed-1.0.0/main.py": ""}
    write_files(plugins, {"packed.zip": archive(files)})
    assert facade.create_plugin_release("packed", "1.0.0")["plugin"] == "packed"
    facade.delete_plugin_release("packed@1.0.0")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("letter", b"Dear agent,", "letter.zip: it is not a zip archive or is damaged: "),
        ("void", b"", "void.zip: it is not a zip archive or is damaged: "),
        ("short", archive({"config.yaml": config("short")})[:-30], "short.zip: it is not a zip archive or is"),
        ("deep", archive({"a/b/config.yaml": config("deep")}), "deep.zip: it contains no config.yaml at its"),
        ("pit", archive({"config.yaml": config("pit"), "in/" * 101: ""}), "pit.zip: it contains folders that are"),
        ("sly", archive({"config.yaml": config("sly"), "../sly": ""}), "sly.zip: it contains a file whose name is not"),
    ],
    ids=lambda value: value if isinstance(value, str) else "archive",  # its bytes depend on the time
)
def test_an_invalid_archive_is_refused_with_the_reason(facade, plugins, write_files: WriteFiles, name, content, said):
    """The answer is 422, and names the archive."""
    write_files(plugins, {f"{name}.zip": content})
    error = facade.error("create_plugin_release", name, "1.0.0")
    assert (type(error), error.error_type) == (ValidationError, "invalid_archive")
    assert error.message.startswith(said)


def test_an_archive_that_ends_within_a_file_is_not_cached_in_part(facade, plugins, write_files: WriteFiles):
    """Its list of files is complete, but one of the files is not."""
    content = bytearray(archive({"config.yaml": config("holed"), "data.txt": "".join(map(str, range(9999)))}))
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    write_files(plugins, {"holed.zip": bytes(content)})
    error = facade.error("create_plugin_release", "holed", "1.0.0")
    assert error.error_type == "invalid_archive"
    assert error.message.startswith("holed.zip: it is not a zip archive or is damaged: ")


def test_what_a_caller_sends_is_not_sent_back_at_length(facade):
    """The message quotes only the beginning."""
    error = facade.error("create_plugin_release", "x" * 3000, "1.0.0")
    assert len(error.message) < 1000


def test_what_was_kept_ready_for_a_release_goes_with_it(facade, ledger, plugins, write_files: WriteFiles):
    """Deleting a release also removes its zygote and the bytecode of its modules."""
    files = {"config.yaml": config("brief", more="actions: {go: 'plugin.main:go'}"), "plugin/main.py": "def go(): pass"}
    write_files(plugins / "brief", files)
    folder = facade.create_plugin_release("brief", "1.0.0")["digest"].removeprefix("sha256:")
    facade.run_plugin_release("brief@1.0.0", "go")
    assert any(folder in command for command in commands())
    facade.delete_plugin_release("brief@1.0.0")
    until(lambda: not any(folder in command for command in commands()))
    ledger.expect(jobs=1)


def commands() -> list[str]:
    """Return the command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.append(path.read_text(errors="replace"))
    return found
