"""A setting and its default are defined once: options, variables, file, help and reference are derived from it."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from synapse_agent.cli.program import run
from synapse_agent.options import SIZE, option_name, option_of, type_of, variable_name
from synapse_agent.settings import Settings
from synapse_agent.util.sizes import exact_size

ROOT = Path(__file__).parents[2]
SETTINGS = {each.name: each for each in fields(Settings)}
AT_THE_START = {"token", "data_dir"}
"""Settings whose values `serve` and `EmbeddedAgent` determine at their start."""
FITTING: dict[str, Any] = {
    "host": "127.0.0.2",
    "runner": "ray",
    "ray_address": "10.0.0.5:6379",
    "backend": "http://backend.test",
    "allowed_hosts": ("agent.test", "other.test"),
    "backend_allow": ("minio.test", "10.1.0.0/16"),
    "extra_index_urls": ("https://one.test/simple", "https://two.test/simple"),
    "reserve": 3,
    "plugins": (Path("/"), Path("/tmp")),
    "access_log": "all",
    "log_level": "debug",
    "log_format": "json",
    "token_files": ("one=/run/one", "two=/run/two:read"),
    "pythons": (Path(sys.executable),),
    "warm": ("p@1.0", "q@2.0"),
    "storage_dir": Path("/tmp"),
    "cache_dir": Path("/tmp"),
    "action_env": ("HF_TOKEN=secret", "p:NAME=value"),
}
"""Values for settings that accept only certain texts."""
PROBE = """
import json, sys
from dataclasses import fields
from pathlib import Path
import synapse_agent.embedded, synapse_agent.server.process
from synapse_agent import EmbeddedAgent
from synapse_agent.cli.program import run
from synapse_agent.settings import Settings

def tell(settings, *_):
    told = {each.name: repr(getattr(settings, each.name)) for each in fields(Settings)}
    print(json.dumps(told))
    raise SystemExit(0)

synapse_agent.server.process.serve_until_stopped = tell
synapse_agent.embedded.AgentServer = tell
if sys.argv[1] == "embedded":
    with EmbeddedAgent():
        pass
elif sys.argv[1] == "settings":
    tell(Settings(data_dir=Path("x")))
else:
    sys.exit(run(sys.argv[1:]))
"""
"""Prints the settings with which an agent would start."""
PAGES = """
import cli_reference
from synapse_agent.cli.program import run
print(cli_reference.page(), cli_reference.configuration())
run(["serve", "--help"])
"""


def changed(setting: Field[Any]) -> Any:
    """Return a value that is not the setting's default."""
    kind = type_of(setting)
    if setting.name in FITTING:
        return FITTING[setting.name]
    if get_origin(kind) is tuple:
        return (Path("/"),)
    if bool in (kind, *get_args(kind)):
        return setting.default is False or setting.default is None
    for number in (int, float):
        if number in (kind, *get_args(kind)):
            return number(setting.default or 6) + 1
    return Path("/changed") if Path in (kind, *get_args(kind)) else f"changed-{setting.name}"


CHANGED = {name: changed(setting) for name, setting in SETTINGS.items()}


def source(value: Any) -> str:
    """Return a value as Python's source."""
    return re.sub(r"PosixPath", "Path", repr(value))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources in which every setting has another default."""
    folder = tmp_path_factory.mktemp("defaults")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "src" / "synapse_agent" / "settings.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (settings,) = (each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == "Settings")
    for each in settings.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.value is not None:
            each.value = ast.parse(source(CHANGED[each.target.id]), mode="eval").body
    path.write_text(ast.unparse(tree).replace("served=8000", "served=8001"), encoding="utf-8")
    return folder


def python(code: str, *arguments: str, sources: Path = ROOT, cwd: Path = ROOT, **env: str) -> str:
    """Run Python on the sources and return what it printed."""
    path = ":".join(map(str, (sources / "src", ROOT / "generated", ROOT / "docs" / "scripts")))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SYNAPSE_")}
    environ = {**plain, "PYTHONPATH": path, "COLUMNS": "400", "XDG_STATE_HOME": str(cwd), **env}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def differing(told: str, expected: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings with unexpected values."""
    found = json.loads(told.splitlines()[-1])
    return {name: value for name, value in found.items() if name not in AT_THE_START and value != repr(expected[name])}


def shown(value: Any, setting: Field[Any]) -> str:
    """Return a default as help and reference should show it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if option_of(setting).metavar == SIZE:
        return exact_size(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("how", ["settings", "embedded", "serve"])
def test_another_default_holds_however_the_agent_is_started(how: str, copy: Path, tmp_path: Path) -> None:
    """`Settings`, `EmbeddedAgent` and `serve` share it; only the port of `serve` differs."""
    expected = CHANGED | ({"port": 8001} if how == "serve" else {})
    assert differing(python(PROBE, how, sources=copy, cwd=tmp_path), expected) == {}


def test_another_default_is_seen_in_help_and_reference(copy: Path, tmp_path: Path) -> None:
    """`serve --help`, the page of the commands and the tables of settings show it."""
    text = python(PAGES, sources=copy, cwd=tmp_path).replace("\\", "")
    served = {"port": 8001, "token": CHANGED["token"]}
    for name, setting in SETTINGS.items():
        if name == "data_dir":
            continue
        default = shown({**CHANGED, **served}[name], setting)
        option = option_name(setting).partition("/")[0]
        end = re.escape(f"[default: {default}]")
        rows = (f"│ {option} .*{end}", rf"\| `{option}`.* {end}", rf"\| `{name}` \|[^|]*\| {re.escape(default)} \|")
        assert [row for row in rows if not re.search(row, text)] == []


def texts(separators: Mapping[type, str]) -> dict[str, str]:
    """Return variables that set every setting to another value."""
    said = {}
    for name, setting in SETTINGS.items():
        value = CHANGED[name]
        if isinstance(value, tuple):
            value = separators[type(value[0])].join(map(str, value))
        said[option_name(setting)] = str(value)
    return said


def test_every_setting_has_a_variable(tmp_path: Path) -> None:
    """In variables, paths are separated by colons, names by spaces."""
    said = texts({type(Path()): ":", str: " "})
    env = {variable_name(option): text for option, text in said.items()} | {"SYNAPSE_AGENT_DATA_DIR": str(tmp_path)}
    assert differing(python(PROBE, "serve", cwd=tmp_path, **env), CHANGED) == {}


def toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def configuration(folder: Path) -> Path:
    """Write a file in which every setting has another value."""
    values = {**CHANGED, "data_dir": folder}
    lines = [f"{option_name(SETTINGS[name])[2:].partition('/')[0]} = {toml(value)}" for name, value in values.items()]
    path = folder / "agent.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_every_setting_can_stand_in_a_file(tmp_path: Path) -> None:
    """Its key is the name of its option."""
    told = python(PROBE, "serve", "--config", str(configuration(tmp_path)), cwd=tmp_path)
    assert differing(told, CHANGED) == {}


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    """The first of them that has a setting wins."""
    path = str(configuration(tmp_path))
    env = {"SYNAPSE_AGENT_CONFIG": path, "SYNAPSE_AGENT_PORT": "18", "SYNAPSE_AGENT_GRACE": "18"}
    told = python(PROBE, "serve", "--port", "17", "--sandbox", cwd=tmp_path, **env)
    assert differing(told, CHANGED | {"port": 17, "grace": 18.0, "sandbox": True}) == {}


def test_paths_in_a_file_start_at_its_folder(tmp_path: Path) -> None:
    """The agent's working directory does not matter; sizes may have units."""
    (tmp_path / "etc" / "plugins").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "etc" / "agent.toml"
    path.write_text('plugins = ["plugins"]\ndata-dir = "data"\nmax-body-size = "2MiB"\ntoken-file = "token"\n')
    (tmp_path / "etc" / "token").write_text("secret\n")
    told = json.loads(python(PROBE, "serve", "--config", str(path), cwd=tmp_path / "elsewhere"))
    folder = tmp_path / "etc"
    assert (told["plugins"], told["data_dir"]) == (f"({folder / 'plugins'!r},)", repr(folder / "data"))
    assert (told["max_body_bytes"], told["token_files"]) == (str(2 * 2**20), f"('{folder}/token',)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max-zygote = 3", "agent.toml: 'max-zygote' is not an option of serve. Did you mean max-zygotes?"),
        ("max_zygotes = 3", "'max_zygotes' is not an option of serve. Did you mean max-zygotes?"),
        ("color = 3", "'color' is not an option of serve. 'synapse-agent serve --help' lists the options."),
        ("[agent]\nport = 3", "'agent' is not an option of serve. 'synapse-agent serve --help' lists"),
        ('plugins = "plugins"', "agent.toml: plugins must be a list: 'plugins'."),
        ("port = [8000]", "agent.toml: port must not be a list: [8000]."),
        ("port = true", "agent.toml: port must be text or a number, not True."),
        ("sandbox = 1", "agent.toml: sandbox must be true or false, not 1."),
        ("grace = 2026-01-01", "agent.toml: grace must be text or a number, not datetime.date(2026, 1, 1)."),
        ('port = "many"', "agent.toml: port: 'many' is not a valid int"),
        ('max-memory = "much"', "agent.toml: max-memory: 'much' is not a size"),
        ("port =", "agent.toml cannot be read: "),
        (None, "agent.toml cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line has the file, the key, the value and what to do."""
    path = tmp_path / "agent.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    code = run(["serve", "--plugins", "/", "--config", str(path)])
    out, err = capsys.readouterr()
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err
