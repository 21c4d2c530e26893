"""Clients that other generators make from the contract: how each is made, and what it can't do.

The tools for each client are pinned in its folder here, and installed below build/, apart from the project's
environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONTRACT = ROOT / "openapi.yaml"
BUILD = ROOT / "build" / "clients"
SECONDS = 600
Command = Sequence[str | Path]
WITHOUT_TESTS = "apis,models,supportingFiles,apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"
ANNOTATIONS = Path("/usr/share/java/geronimo-annotation-1.3-spec.jar")


@dataclass(frozen=True, slots=True)
class ForeignClient:
    """A client of another generator, in the folder of its name here.

    Attributes:
        make: Makes the client in an empty folder, and returns the command that runs its program.
        needs: Programs and files that the machine must have; `.ci/install` installs them.
        cannot: The steps that the client can't do, and whose fault that is.
        is_quick: Whether the tests of every change run it.
    """

    name: str
    make: Callable[[Path], Command]
    needs: tuple[str, ...] = ()
    cannot: Mapping[str, str] = field(default_factory=dict)
    is_quick: bool = False

    def missing(self) -> list[str]:
        """Return what the client needs and the machine does not have."""
        return [need for need in self.needs if shutil.which(need) is None and not Path(need).exists()]


def run(command: Command, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command; raise an error with what it printed if it fails."""
    environment = os.environ | variables
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"{command} failed.\n{done.stdout}\n{done.stderr}")
    return done


def python_with(lock: Path) -> Path:
    """Return the Python of an environment with exactly the packages that a lock pins."""
    folder = BUILD / "environments" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder], HERE)
        try:
            run(["uv", "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock], HERE)
        except RuntimeError:  # uv does not read pip's configuration
            run([python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock], HERE)
        (folder / "done").touch()
    return python


def node_modules_of(name: str, folder: Path) -> Path:
    """Copy a Node client's files into a folder, and install what its lock pins; return the folder of its programs."""
    shutil.copytree(HERE / name, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    modules = BUILD / name / "node_modules"
    lock = (folder / "package-lock.json").read_bytes()
    if not (modules / "done").exists() or (modules / "done").read_bytes() != lock:
        modules.parent.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.json"):  # Hey-API looks for its tsconfig.json beside its own modules
            shutil.copy(file, modules.parent)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], modules.parent)
        (modules / "done").write_bytes(lock)
    (folder / "node_modules").symlink_to(modules)
    return modules / ".bin"


def make_hey_api(folder: Path) -> Command:
    """Make the client of Hey-API, whose types and requests are generated."""
    programs = node_modules_of("hey_api", folder)
    run(
        [programs / "openapi-ts", "--input", CONTRACT, "--output", "client", "--client", "@hey-api/client-fetch"],
        folder,
    )
    run([programs / "tsc", "--project", "."], folder)
    return ["node", folder / "dist" / "main.js"]


def make_openapi_fetch(folder: Path) -> Command:
    """Make the client of openapi-fetch, for which only types are generated."""
    programs = node_modules_of("openapi_fetch", folder)
    run([programs / "openapi-typescript", CONTRACT, "--output", "schema.d.ts"], folder)
    run([programs / "tsc", "--project", "."], folder)
    return ["node", folder / "dist" / "main.js"]


def make_openapi_python_client(folder: Path) -> Command:
    """Make the client of openapi-python-client with its own templates, not ours."""
    python = python_with(HERE / "openapi_python_client" / "requirements.txt")
    config = folder / "config.yaml"
    config.write_text("post_hooks: []\n", encoding="utf-8")
    generator = python.with_name("openapi-python-client")
    options = ("--meta", "none", "--fail-on-warning", "--config", config, "--output-path", folder / "synapse")
    run([generator, "generate", "--path", CONTRACT, *options], folder)
    return ["env", f"PYTHONPATH={folder}", python, HERE / "openapi_python_client" / "main.py"]


def make_fastmcp(folder: Path) -> Command:
    """Make the tools of FastMCP, which reads the contract when it runs."""
    python = python_with(HERE / "fastmcp" / "requirements.txt")
    contract = ROOT / "generated" / "synapse_agent_api" / "openapi.json"
    return ["env", f"HOME={folder}", python, HERE / "fastmcp" / "main.py", contract]


def openapi_generator(language: str, output: Path, *options: str) -> Path:
    """Make a client with OpenAPI Generator; return the generator's jar."""
    python = python_with(HERE / "openapi_generator.txt")
    generator = python.with_name("openapi-generator-cli")
    command = [generator, "generate", "--generator-name", language, "--input-spec", CONTRACT, "--output", output]
    run([*command, "--global-property", WITHOUT_TESTS, *options], output.parent)
    return next(python.parents[1].glob("lib/*/site-packages/openapi_generator_cli/*.jar"))


def make_python(folder: Path) -> Command:
    """Make OpenAPI Generator's client for Python."""
    openapi_generator("python", folder / "client", "--additional-properties", "packageName=synapse")
    python = python_with(HERE / "python" / "requirements.txt")
    return ["env", f"PYTHONPATH={folder / 'client'}", python, HERE / "python" / "main.py"]


def make_go(folder: Path) -> Command:
    """Make OpenAPI Generator's client for Go, of the standard library alone."""
    openapi_generator("go", folder / "synapse", "--additional-properties", "packageName=synapse,withGoMod=false")
    shutil.copy(HERE / "go" / "main.go", folder)
    run(["go", "mod", "init", "example"], folder)
    run(["go", "vet", "./..."], folder)
    run(["go", "build", "-o", "program", "."], folder)
    return [folder / "program"]


def make_java(folder: Path) -> Command:
    """Make OpenAPI Generator's client for Java, of Java's own HTTP client and Jackson, which the generator's jar has.

    Its templates for a union of schemas write `List<...>.class`, which is not Java: the mappings put one of Jackson's
    own classes in place of each list and map.
    """
    nodes = "com.fasterxml.jackson.databind.node"
    mapped = (
        *("--library", "native", "--additional-properties", "openApiNullable=false"),
        *("--schema-mappings", "InvalidItems=ArrayNode,LegacyRunPayload=ObjectNode"),
        *("--import-mappings", f"ArrayNode={nodes}.ArrayNode,ObjectNode={nodes}.ObjectNode"),
    )
    jar = openapi_generator("java", folder / "client", *mapped)
    sources = [*(folder / "client" / "src" / "main").rglob("*.java"), HERE / "java" / "Main.java"]
    run(["javac", "-nowarn", "-cp", f"{jar}:{ANNOTATIONS}", "-d", "classes", *sources], folder)
    return ["java", "-cp", f"{folder / 'classes'}:{jar}", "Main"]


CLIENTS = (
    ForeignClient("hey_api", make_hey_api, is_quick=True),
    ForeignClient("openapi_fetch", make_openapi_fetch),
    ForeignClient("openapi_python_client", make_openapi_python_client),
    ForeignClient("fastmcp", make_fastmcp),
    ForeignClient("python", make_python, needs=("java",)),
    ForeignClient("go", make_go, needs=("go", "java")),
    ForeignClient(
        "java",
        make_java,
        needs=("java", "javac", str(ANNOTATIONS)),
        cannot={"stream": "OpenAPI Generator's library `native` reads `text/event-stream` as JSON"},
    ),
)
