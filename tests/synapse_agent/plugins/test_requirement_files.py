"""Requirement files as people and tools write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from synapse_agent.plugins.project import read_requirements, requires_python, unread_files
from synapse_agent.plugins.requirements import RequirementRules, check_requirements, without_place
from synapse_agent.problems import Problem

Write = Callable[[Mapping[str, str | bytes]], Path]
HASH = "sha256:" + "0" * 64
WHEEL = "foo-1.0-py3-none-any.whl"
URLS = RequirementRules(urls=True)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(files: Mapping[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / "plugin" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "plugin"

    return write


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("six#comment\n", ["six"]),
        ("six # comment\n\t# more\nsix\t# tab", ["six"]),
        ("six==1.*\nsix~=1.16\nsix>=1.0.0 ; python_version < '4'", None),
        (f"six==1.16.0 \\\n    --hash={HASH} \\\n    --hash=sha256:{'1' * 64}\n    # via -r requirements.in\n", None),
        ("--pre\nsix\n", ["--pre", "six"]),
        ("--require-hashes\n--no-index\n--prefer-binary\n", ["--require-hashes", "--no-index"]),
        ("--only-binary=:all:\n--no-binary six", ["--only-binary :all:", "--no-binary six"]),
        ("\ufeffsix\r\nattrs\r\n", ["six", "attrs"]),
        ("six\rattrs\r", ["six", "attrs"]),
        ("Six\nsix\n", ["six"]),
        ("", []),
    ],
)
def test_what_people_and_tools_write_is_read(write: Write, text: str, lines: list[str] | None) -> None:
    """Comments, continued lines, hashes, options and line ends are parsed; each requirement is canonical and unique."""
    found = list(read_requirements(write({"requirements.txt": text})))
    if lines is not None:
        assert found == lines


@pytest.mark.parametrize(
    "data",
    ["six\n# gr\u00fc\u00df\n".encode("utf-16"), "six\n# gr\u00fc\u00df\n".encode("utf-8-sig"), b"six\n# caf\xe9\n"],
    ids=["utf-16", "utf-8 with a mark", "latin-1"],
)
def test_files_are_read_in_the_encodings_that_editors_write(write: Write, data: bytes) -> None:
    """PowerShell writes UTF-16; only comments can have non-ASCII characters."""
    assert read_requirements(write({"requirements.txt": data})) == ("six",)


def test_hashes_are_kept_with_their_requirement(write: Write) -> None:
    """pip-compile and `uv export` write them over several lines."""
    text = f"six==1.16.0 \\\n    --hash={HASH} \\\n    --hash sha256:{'1' * 64}\n"
    assert read_requirements(write({"requirements.txt": text})) == (
        f"six==1.16.0 --hash={HASH} --hash=sha256:{'1' * 64}",
    )


def test_files_include_each_other_within_the_plugin(write: Write) -> None:
    """Paths start at the plugin's folder or at the including file; constraints apply to all requirements."""
    files = {
        "requirements.txt": "-r reqs/base.txt\n-c constraints.txt\nattrs",
        "reqs/base.txt": "--requirement=more.txt\n-r ../requirements.txt\nsix",
        "reqs/more.txt": "pluggy",
        "constraints.txt": "six<2\n-r reqs/more.txt",
    }
    assert read_requirements(write(files)) == ("pluggy", "six", "-c six<2", "-c pluggy", "attrs")


def test_packages_that_a_plugin_ships_are_named_by_their_content(write: Write, tmp_path: Path) -> None:
    """The environment is the same wherever the plugin is, and another one when they change."""
    files: dict[str, str | bytes] = {
        "requirements.txt": f"./wheels/{WHEEL}\n-e ./lib[extra]\n--find-links ./wheels\nwheels/{WHEEL}",
        f"wheels/{WHEEL}": b"wheel",
        "lib/pyproject.toml": "[project]\nname = 'lib'\n",
    }
    folder = write(files)
    first = read_requirements(folder)
    assert [line.partition("#")[0] for line in first] == [
        f"{folder}/wheels/{WHEEL}",
        f"{folder}/lib[extra]",
        f"--find-links {folder}/wheels",
    ]
    moved = folder.rename(tmp_path / "elsewhere")
    assert list(map(without_place, read_requirements(moved))) == list(map(without_place, first))
    (moved / "lib" / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    assert list(map(without_place, read_requirements(moved)))[1] != without_place(first[1])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--index-url https://packages.test/simple", "indexes are set by the agent: `serve --index-url`"),
        ("--extra-index-url=https://packages.test", "indexes are set by the agent"),
        ("-i https://packages.test", "indexes are set by the agent"),
        ("-r https://packages.test/r.txt", "it is an address, and must be a path in the plugin"),
        ("-r ../outside.txt", "it is outside of the plugin's folder"),
        ("-c missing.txt", "the plugin has no 'missing.txt'"),
        ("-e ../lib", "it is outside of the plugin's folder"),
        ("/srv/paint", "it is outside of the plugin's folder"),
        ("./main.py", "it is neither the folder of a package nor an archive"),
        ("./folder", "has no pyproject.toml and no setup.py"),
        ("git+https://packages.test/paint", "without options, paths and URLs"),
        ("paint @ https://packages.test/paint.whl", "without options, paths and URLs"),
        ("paint @ file:///srv/paint", "without options, paths and URLs"),
        ("six=1.16.0=pyhd3eb1b0_1", "this is conda's form, pip's is six==1.16.0; use a package's name"),
        ("six==${SIX_VERSION}", "variables are not replaced; use a package's name"),
        ("--config-settings=a=b", "the option --config-settings is not supported"),
        ("--pre yes", "the option --pre takes no value"),
        ("paint>=new", "use a package's name"),
        (f"./wheel.whl --hash={HASH}", "the file's hash is sha256:"),
    ],
)
def test_what_is_refused_is_named_with_file_and_line(write: Write, line: str, why: str) -> None:
    """The answer is 422 with what would be right."""
    folder = write(
        {
            "requirements.txt": "# packages\n\n-r more.txt\n",
            "more.txt": f"six\n{line}\n",
            "main.py": "",
            "folder/a.py": "",
            "wheel.whl": b"",
        }
    )
    (folder.parent / "outside.txt").touch()
    (folder.parent / "lib").mkdir()
    with pytest.raises(Problem) as caught:
        read_requirements(folder)
    assert (caught.value.status, caught.value.error_type) == (422, "invalid_requirement")
    assert caught.value.message.startswith(f"more.txt, line 2, is {line!r}; ")
    assert why in caught.value.message


def test_a_link_leads_out_as_well(write: Write) -> None:
    """The agent resolves links before it checks a path."""
    folder = write({"requirements.txt": "-r link/passwd"})
    (folder / "link").symlink_to("/etc")
    with pytest.raises(Problem, match="is outside of the plugin's folder"):
        read_requirements(folder)


def test_the_operator_can_allow_addresses_indexes_and_paths(write: Write, tmp_path: Path) -> None:
    """This covers files and calls."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "setup.py").touch()
    text = (
        f"paint @ https://packages.test/p.whl\ngit+https://packages.test/q\n-i https://packages.test\n{tmp_path}/lib\n"
    )
    lines = read_requirements(write({"requirements.txt": text}), URLS)
    assert lines[:3] == (
        "paint @ https://packages.test/p.whl",
        "git+https://packages.test/q",
        "--index-url https://packages.test",
    )
    assert lines[3].startswith(f"{tmp_path}/lib#sha256:")
    assert check_requirements(["git+https://packages.test/q", "six"], URLS) == ("git+https://packages.test/q", "six")


PROJECT = "[project]\nname = 'p'\nversion = '1'\ndependencies = ['six>=1', 'attrs ; python_version > \"3\"']\n"


def test_a_project_has_requirements_if_there_is_no_requirements_file(write: Write) -> None:
    """It reads `project.dependencies`; the error for an invalid entry has its place."""
    assert read_requirements(write({"pyproject.toml": PROJECT})) == ("six>=1", 'attrs; python_version > "3"')
    assert read_requirements(write({"requirements.txt": "pluggy"})) == ("pluggy",)
    (folder := write({"pyproject.toml": "[project]\ndependencies = ['a b']"})).joinpath("requirements.txt").unlink()
    with pytest.raises(Problem, match=r"pyproject.toml: project.dependencies\[0\] is 'a b'"):
        read_requirements(folder)


UV_LOCK = """
version = 1
[[package]]
name = "p"
version = "1"
source = { editable = "." }
[[package]]
name = "six"
version = "1.16.0"
source = { registry = "https://packages.test/simple" }
[[package]]
name = "numpy"
version = "2.2.6"
source = { registry = "https://packages.test/simple" }
resolution-markers = ["python_full_version < '3.11'"]
[[package]]
name = "numpy"
version = "2.3.0"
source = { registry = "https://packages.test/simple" }
resolution-markers = ["python_full_version >= '3.11'"]
"""
PYLOCK = """
lock-version = "1.0"
[[packages]]
name = "six"
version = "1.16.0"
marker = "sys_platform == 'linux'"
[[packages]]
name = "pytest"
version = "8.0"
marker = "'dev' in dependency_groups"
[[packages]]
name = "p"
directory = { path = "." }
"""


@pytest.mark.parametrize(
    ("lock", "text", "held"),
    [
        (
            "uv.lock",
            UV_LOCK,
            [
                "six==1.16.0",
                'numpy==2.2.6; python_full_version < "3.11"',
                'numpy==2.3.0; python_full_version >= "3.11"',
            ],
        ),
        ("pylock.toml", PYLOCK, ['six==1.16.0; sys_platform == "linux"']),
    ],
)
def test_a_lock_beside_the_project_holds_the_versions(write: Write, lock: str, text: str, held: list[str]) -> None:
    """Each package from an index has one constraint, with the lock's markers."""
    lines = read_requirements(write({"pyproject.toml": PROJECT, lock: text}))
    assert [line.removeprefix("-c ") for line in lines if line.startswith("-c ")] == held


@pytest.mark.parametrize(
    ("lock", "files"),
    [
        (
            "uv.lock",
            "source = { registry = 'https://packages.test' }\n"
            "sdist = { url = 'https://packages.test/six.tar.gz', hash = 'sha256:cc', size = 3 }\n"
            "wheels = [{ url = 'a', hash = 'sha256:bb' }, { url = 'b', hash = 'sha256:aa' }, { url = 'c' }]\n",
        ),
        (
            "pylock.toml",
            "wheels = [{ name = 'a', hashes = { sha256 = 'bb', md5 = 'dd' } }, { hashes = { sha256 = 'aa' } }]\n"
            "[packages.sdist]\nname = 'six.tar.gz'\nhashes = { sha256 = 'cc' }\n",
        ),
    ],
)
def test_a_lock_also_holds_the_files(write: Write, lock: str, files: str) -> None:
    """This covers each lock's own notation of hashes."""
    head = "version = 1\n[[package]]" if lock == "uv.lock" else "lock-version = '1.0'\n[[packages]]"
    text = f"{head}\nname = 'six'\nversion = '1.16.0'\n{files}"
    lines = read_requirements(write({"pyproject.toml": PROJECT, lock: text}))
    assert lines[-1] == "-c six==1.16.0 --hash=sha256:aa --hash=sha256:bb --hash=sha256:cc"


def test_a_project_states_its_pythons(write: Write) -> None:
    """The key is `requires-python`; an unreadable one is named."""
    assert requires_python(write({"config.yaml": ""})) is None
    assert requires_python(write({"pyproject.toml": PROJECT})) is None
    assert requires_python(write({"pyproject.toml": f"{PROJECT}requires-python = '>=3.9, <4'\n"})) == "<4,>=3.9"
    for wrong in ("'three'", "3.11", "['>=3.9']"):
        with pytest.raises(Problem, match=r"pyproject.toml: project.requires-python is .*, not a version") as caught:
            requires_python(write({"pyproject.toml": f"{PROJECT}requires-python = {wrong}\n"}))
        assert (caught.value.status, caught.value.error_type) == (422, "invalid_plugin")


def test_a_source_of_uvs_is_not_replaced_by_a_package_of_the_same_name(write: Write) -> None:
    """A path in the plugin works; other sources are refused: the index may have another package of that name."""
    source = PROJECT + "[tool.uv.sources]\nsix = { path = 'six' }\n"
    (line, _) = read_requirements(folder := write({"pyproject.toml": source, "six/pyproject.toml": ""}))
    assert line.startswith(f"{folder}/six#sha256:")
    write({"pyproject.toml": PROJECT + "[tool.uv.sources]\nsix = { git = 'https://git.test/six' }\n"})
    with pytest.raises(Problem, match=r"tool.uv.sources gets six from \{'git'"):
        read_requirements(folder)


def test_what_is_not_read_is_named(write: Write) -> None:
    """The warning has the fix, and is absent if a file that is read replaces it."""
    folder = write({"Pipfile": "", "environment.yml": "", "setup.py": ""})
    assert [line.partition(" ")[0] for line in unread_files(folder)] == ["Pipfile", "environment.yml", "setup.py"]
    write({"pyproject.toml": PROJECT})
    assert [line.partition(" ")[0] for line in unread_files(folder)] == ["Pipfile", "environment.yml"]
    write({"requirements.txt": ""})
    assert unread_files(folder) == []


def test_a_requirements_file_that_is_larger_than_any_is_not_read(tmp_path: Path) -> None:
    """Every run would use the agent's memory for it."""
    (tmp_path / "requirements.txt").write_text("#" * 300_000)
    with pytest.raises(Problem, match=r"^requirements\.txt has 300000 bytes; the limit is 262144$"):
        read_requirements(tmp_path)
