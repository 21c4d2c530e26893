"""Source in a request: which files become which modules."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from synapse_agent.cli.commands.source_bundle import module_name, pack
from synapse_agent.cli.failures import UsageFailure

CONFIG = "code: small\nversion: 1.10\nactions: {go: {entrypoint: 'main:go'}}\n"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("main.py", "main"),
        ("plugin/train.py", "plugin.train"),
        ("plugin/__init__.py", "plugin"),
        ("a/b/__init__.py", "a.b"),
        ("notes.txt", None),
        ("my-script.py", None),
        ("class.py", None),
        ("plugin/2.py", None),
        ("json/__init__.py", None),
        ("calendar.py", None),
        ("plugin/calendar.py", "plugin.calendar"),
    ],
)
def test_a_file_is_a_module_if_its_name_is_an_identifier(path: str, name: str | None) -> None:
    """Non-identifiers, keywords and names of the standard library can't be sent in a request."""
    assert module_name(PurePosixPath(path)) == name


def test_what_is_part_of_the_plugin_is_packed(tmp_path: Path, write_plugin) -> None:
    """This is the config as text, requirements, and modules in their own encoding; not caches and environments."""
    folder = write_plugin(
        tmp_path / "small",
        {
            "config.yaml": CONFIG,
            "requirements.txt": "# why\nPillow >= 9\n",
            "main.py": "",
            "data.csv": "",
            "venv/pyvenv.cfg": "",
            "venv/lib/other.py": "",
            "__pycache__/main.py": "",
        },
    )
    (folder / "latin.py").write_bytes("# coding: latin-1\nNAME = 'ü'\n".encode("latin-1"))
    packed = pack(folder)
    assert packed.config["version"] == "1.10"
    assert packed.modules == {"main": "", "latin": "# coding: latin-1\nNAME = 'ü'\n"}
    assert packed.requirements == ("pillow>=9",)
    assert packed.left_behind == ("data.csv",)


def test_source_that_cannot_be_read_is_named(tmp_path: Path, write_plugin) -> None:
    """The message has its path."""
    folder = write_plugin(tmp_path / "small", {"config.yaml": CONFIG})
    (folder / "main.py").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageFailure, match=r"main\.py cannot be read as Python source"):
        pack(folder)


def test_requirements_that_no_agent_takes_are_named(tmp_path: Path, write_plugin) -> None:
    """The messages are the agent's own."""
    folder = write_plugin(tmp_path / "small", {"config.yaml": CONFIG, "requirements.txt": "--index-url x\n"})
    with pytest.raises(UsageFailure, match=r"requirements\.txt, line 1, is '--index-url x'"):
        pack(folder)
    (folder / "requirements.txt").write_text("six\n--pre\n")
    with pytest.raises(UsageFailure, match=r"a request can't carry the requirement '--pre'"):
        pack(folder)
