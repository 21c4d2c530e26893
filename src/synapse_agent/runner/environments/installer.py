"""Run uv so that it and its builds end with the agent, or when no run waits for them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synapse_agent.errors import StartError
from synapse_agent.runner.environments.install_files import install_files
from synapse_agent.runner.environments.pip_config import uv_options, uv_settings
from synapse_agent.runner.processes.commands import Commands
from synapse_agent.runner.processes.environ import installer_env
from synapse_agent.runner.processes.execution import ProcessExit
from synapse_agent.runner.processes.keeper import ZygoteLost
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.outcomes import cannot_start

Output = Callable[[bytes], None]

_LIMITS = RunLimits(time=1800.0)
_SETTINGS = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
_KEPT_OUTPUT = 16_000
_MUST_BUILD = re.compile(r"[Bb]uilding (from source|source distributions)\b.*? is disabled")
"""uv's message for packages, or releases of them, without a wheel for this Python."""
_LACKS_RESOURCES = re.compile(r"\(os error (11|12|23|24)\)|\bcode: (11|12|23|24)\b")
"""Rust's form of EAGAIN, ENOMEM, ENFILE and EMFILE."""
_PANIC = 101
_ERROR = re.compile(rb"^error:", re.MULTILINE)


class InstallFailed(Exception):
    """uv failed; `output` is what it printed."""

    def __init__(self, output: str, *, timed_out: bool) -> None:
        super().__init__(output)
        self.output = output
        self.timed_out = timed_out

    @property
    def words(self) -> str:
        """The output on one line, since uv breaks its lines anywhere."""
        return " ".join(self.output.split())


class PythonUnusable(InstallFailed):
    """uv can't create an environment with a Python, for any packages."""


class Installer:
    """Creates virtual environments with uv and installs packages into them.

    uv links the files of an environment to its cache, so writing to the cache would change every environment.
    Therefore only uv itself uses the shared cache. A package that must be built, which runs its author's
    code, is installed from a cache of that environment alone.
    """

    def __init__(self, commands: Commands, *, spare_cache: Path, environ: Mapping[str, str] = os.environ) -> None:
        """`spare_cache` is for users whose own cache is not writable, such as users without a home folder."""
        self._uv = find_uv()
        self._commands = commands
        self._spare_cache = spare_cache
        self._cache: Path | None = None
        self._env = {**uv_settings(environ), **installer_env(environ), **_SETTINGS}
        self._options = uv_options(environ)

    async def make(self, folder: Path, *, python: Path, on_output: Output) -> None:
        """Create an empty environment, which can be moved afterwards; its parent folder gets uv's temporary files.

        Raises `PythonUnusable` if uv does not support that Python.
        """
        command = ["venv", "--quiet", "--relocatable", "--python", str(python), str(folder)]
        try:
            await self._run(command, folder.parent, await self._shared_cache(), on_output)
        except InstallFailed as failure:
            raise PythonUnusable(failure.output, timed_out=failure.timed_out) from failure

    async def install(self, requirements: Sequence[str], *, python: Path, on_output: Output) -> None:
        """Install packages.

        Wheels come from uv's cache alone if it has all of them, which saves a request to the index. For packages
        without a pin, a release with a wheel is preferred to a newer one that must be built.
        """
        room, cache = python.parents[2], await self._shared_cache()
        with install_files(requirements, room) as files:
            install = ["pip", "install", *self._options, "--python", str(python), *files]
            wheels = [*install, "--no-build"]
            held_back = bytearray()
            try:
                await self._run([*wheels, "--offline"], room, cache, held_back.extend)
            except InstallFailed:
                pass
            else:
                on_output(bytes(held_back))
                return
            heard = _UpToError(on_output)
            try:
                await self._run(wheels, room, cache, heard)
            except InstallFailed as failure:
                if not _MUST_BUILD.search(failure.words):
                    heard.pass_on_rest()
                    raise
                await self._run(install, room, room / "cache", on_output)
            else:
                heard.pass_on_rest()

    async def _run(self, arguments: Sequence[str], room: Path, cache: Path, on_output: Output) -> None:
        said = bytearray()

        def hear(data: bytes) -> None:
            said.extend(data)
            del said[:-_KEPT_OUTPUT]
            on_output(data)

        ending = await self._execute([self._uv, *arguments], room, cache, hear)
        if ending.status == 0:
            return
        failure = InstallFailed(_complaint(said), timed_out=ending.timed_out)
        if not ending.timed_out and (_broke_down(ending.status) or _LACKS_RESOURCES.search(failure.words)):
            raise cannot_start(f"uv, which creates environments, crashed ({failure.words[:500] or 'without output'})")
        raise failure

    async def _execute(self, command: Sequence[str], room: Path, cache: Path, on_output: Output) -> ProcessExit:
        env = {**self._env, "TMPDIR": str(room), "UV_CACHE_DIR": str(cache)}
        await asyncio.to_thread(_prepare, cache)
        try:
            return await self._commands.run(
                command, env=env, writable=[room, cache], limits=_LIMITS, on_output=on_output
            )
        except ZygoteLost as lost:
            raise cannot_start(f"the process that starts uv has ended ({lost})") from lost

    async def _shared_cache(self) -> Path:
        if self._cache is None:
            users = await asyncio.to_thread(_users_cache, self._uv, self._env)
            self._cache = users if users is not None and _can_write(users) else self._spare_cache
        return self._cache


class _UpToError:
    """Passes output on line by line, but holds an error back: uv may be started again, with other options."""

    def __init__(self, on_output: Output) -> None:
        self._on_output = on_output
        self._kept = bytearray()

    def __call__(self, data: bytes) -> None:
        self._kept += data
        error = _ERROR.search(self._kept)
        known = error.start() if error else self._kept.rfind(b"\n") + 1
        if known:
            self._on_output(bytes(self._kept[:known]))
            del self._kept[:known]

    def pass_on_rest(self) -> None:
        """Pass on the held output."""
        self._on_output(bytes(self._kept))
        self._kept.clear()


def _users_cache(uv: str, env: Mapping[str, str]) -> Path | None:
    """Return uv's cache, which its configuration files may set; None if uv does not report it."""
    if named := env.get("UV_CACHE_DIR"):
        return Path("/", named)
    asked = subprocess.run([uv, "cache", "dir"], capture_output=True, check=False, env=dict(env), cwd="/", text=True)
    return Path("/", asked.stdout.strip()) if asked.returncode == 0 else None


def _can_write(folder: Path) -> bool:
    """Make a folder if it does not exist, and return whether it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _prepare(cache: Path) -> None:
    """Create a cache each time, since caches get cleaned; raise `Problem` 503 if it can't be written to."""
    if not _can_write(cache):
        found = "is not a folder" if os.path.lexists(cache) and not cache.is_dir() else "is not writable"
        raise cannot_start(f"uv's cache {cache} {found}: remove it, or restore this user's permissions")


def _broke_down(status: int | None) -> bool:
    """Return whether uv ended without reporting what failed."""
    if status is None or status < 0:
        return True
    return os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) in (_PANIC, 128 + signal.SIGABRT)


def _complaint(said: bytearray) -> str:
    """Return uv's output, without the line that names a folder that no longer exists when a user reads it."""
    lines = said.decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith("Using Python ")).strip()


def find_uv() -> str:
    """Return uv's path, or raise `StartError`."""
    try:
        import uv  # it may be missing, which a user must fix

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        message = "uv, which creates plugin environments, is not installed: pip install 'synapse-agent-client[agent]'"
        raise StartError(message) from error
