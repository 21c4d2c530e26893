"""The environment of each client, below `.bench/`, created once for each version of its content."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".bench"
REQUIREMENTS = Path(__file__).parent / "requirements"
PUBLIC_NEEDS = (3, 12)


@dataclass(frozen=True)
class Environment:
    """A Python with a client in it."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """The folder of its installed distributions."""
        return next(self.folder.glob("lib/python*/site-packages"))

    def distributions(self) -> dict[str, str]:
        """Return the installed packages with their versions."""
        found = (folder.name.removesuffix(".dist-info") for folder in self.packages.glob("*.dist-info"))
        return {name.replace("_", "-").lower(): version for name, _, version in (each.partition("-") for each in found)}

    def size(self) -> int:
        """Return the bytes of all that was installed, without bytecode made since."""
        files = (path for path in self.packages.rglob("*") if "__pycache__" not in path.parts)
        return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink())


def prepare() -> dict[str, Environment]:
    """Create missing environments; return `client`, `peers`, `niquests` and, with a new Python, `public`."""
    public = find_python(PUBLIC_NEEDS)
    python = public or Path(sys.executable)
    wheel = build()
    made = {
        "client": make("client", python, [str(wheel), "--constraint", str(constraints())], [wheel]),
        "peers": make("peers", python, *locked("peers.txt", hashed=True)),
        "niquests": make("niquests", python, *locked("niquests.txt", hashed=True)),
    }
    if public is not None:
        made["public"] = make("public", public, *locked("public.txt", hashed=False))
    return made


def prepare_agent() -> dict[str, Environment]:
    """Create missing environments; return `agent`, with uv in it, and `ray`, both of the project's Python."""
    python = Path(sys.executable)
    return {
        "agent": _make_agent("agent", ROOT),
        "ray": make("ray", python, *locked("ray.txt", hashed=True)),
    }


def prepare_base(commit: str) -> Environment:
    """Return the environment of an agent of an earlier commit."""
    source = HOME / "base"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=source, input=archive, check=True)
    return _make_agent("base-agent", source)


def _make_agent(name: str, source: Path) -> Environment:
    """Create the environment of an agent from its sources; earlier commits have a single distribution."""
    pins, server = constraints(), source / "distributions" / "agent"
    wheel = build(source)
    wheels = [wheel, *([build(server)] if server.exists() else [])]
    named = [f"{wheel}[agent,cli]", *map(str, wheels[1:])]
    return make(name, Path(sys.executable), [*named, "--constraint", str(pins)], [*wheels, pins])


def locked(name: str, *, hashed: bool) -> tuple[list[str], list[Path]]:
    """Return the installer's arguments for a file of pinned requirements."""
    return ["--require-hashes"] * hashed + ["--requirement", str(REQUIREMENTS / name)], [REQUIREMENTS / name]


def constraints() -> Path:
    """Return a file with the versions of the project's lock, without hashes: wheels that are built here have others."""
    lock = (ROOT / "requirements" / "dev.lock").read_text()
    target = HOME / "constraints.txt"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(re.findall(r"^[\w.-]+==[\w.]+", lock, re.MULTILINE)))
    return target


def build(source: Path = ROOT) -> Path:
    """Return a wheel of this project, or of another folder's version of it."""
    target = HOME / "dist" / source.relative_to(ROOT)
    shutil.rmtree(target, ignore_errors=True)
    options = ("--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", target)
    run("uv", "build", *options, source)
    return next(target.glob("*.whl"))


def make(name: str, python: Path, arguments: list[str], sources: list[Path]) -> Environment:
    """Return an environment with these packages, created again when one of its sources or its Python has changed."""
    folder = HOME / name
    stamp, wanted = folder / "made-of", fingerprint(python, sources)
    if not stamp.exists() or stamp.read_text() != wanted:
        run("uv", "venv", "--quiet", "--clear", "--python", python, folder)
        install(folder / "bin" / "python", arguments)
        stamp.write_text(wanted)
    return Environment(folder)


def install(python: Path, arguments: list[str]) -> None:
    """Install with uv, or with pip if only pip is configured with an index."""
    try:
        run("uv", "pip", "install", "--quiet", "--python", python, *arguments)
    except SystemExit as error:
        print(f"{error}\nTrying pip instead.", file=sys.stderr)
        run("python", "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", *arguments)


def fingerprint(python: Path, sources: Iterable[Path]) -> str:
    """Return a name for the content of an environment."""
    return "\n".join([str(python), *(hashlib.sha256(source.read_bytes()).hexdigest() for source in sources)])


def find_python(at_least: tuple[int, int]) -> Path | None:
    """Return the oldest Python of this machine that is new enough; pyenv's shims may not run, and are left out."""
    names = [f"python3.{minor}" for minor in range(at_least[1], at_least[1] + 4)]
    on_path = [Path(found) for name in names if (found := shutil.which(name)) and "shims" not in found]
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"), key=lambda path: _numbers(path.parts[-3]))
    new_enough = (path for path in (*on_path, *pyenv) if (version(path) or (0, 0)) >= at_least)
    return next(new_enough, None)


def version(python: Path) -> tuple[int, int] | None:
    """Return an interpreter's version, None if it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    major, _, minor = done.stdout.strip().partition(" ")
    return (int(major), int(minor)) if done.returncode == 0 else None


def run(*command: str | Path) -> None:
    """Run a command of the project's environment; show its output if it fails."""
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def _numbers(name: str) -> list[int]:
    return [int(part) for part in name.split(".") if part.isdigit()]
