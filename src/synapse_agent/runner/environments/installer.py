"""uv, run so that it and the builds it starts end with the agent, or when nobody waits for them any more."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from synapse_agent.runner.environments.install_files import install_files
from synapse_agent.runner.environments.pip_config import uv_options, uv_settings
from synapse_agent.runner.processes.environ import installer_env
from synapse_agent.runner.processes.execution import Execution, ProcessExit
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.sandbox import OFF, SandboxPolicy
from synapse_agent.runner.processes.zygote import ZygoteSpec
from synapse_agent.runner.processes.zygote_pool import ZygotePool
from synapse_agent.settings import StartError

Output = Callable[[bytes], None]

_LIMITS = RunLimits(time=1800.0)
_SETTINGS = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
_KEPT_OUTPUT = 16_000


class InstallFailed(Exception):
    """uv did not do what it was asked to; `output` is what it said."""

    def __init__(self, output: str, *, timed_out: bool) -> None:
        super().__init__(output)
        self.output = output
        self.timed_out = timed_out


class Installer:
    """Makes virtual environments with uv and installs packages into them.

    Installing runs code of whoever made the packages, so it has a sandbox too: it may write to the environment's folder
    and, as uv has to, to uv's cache.
    """

    def __init__(
        self,
        zygotes: ZygotePool,
        *,
        folder: Path,
        sandbox: SandboxPolicy = OFF,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._uv = find_uv()
        self._zygotes = zygotes
        self._folder = folder
        self._sandbox = sandbox
        self._cache: Path | None = None
        self._env = {**uv_settings(environ), **installer_env(environ), **_SETTINGS}
        self._options = uv_options(environ)

    async def make(self, folder: Path, *, python: Path, on_output: Output) -> None:
        """Make an empty environment, which can be moved afterwards; the folder around it is the installer's room."""
        command = ["venv", "--quiet", "--relocatable", "--python", str(python), str(folder)]
        await self._run(command, folder.parent, on_output)

    async def install(self, requirements: Sequence[str], *, python: Path, on_output: Output) -> None:
        """Install packages: from uv's cache alone where that has all of them, which saves asking an index."""
        room = python.parents[2]
        held_back = bytearray()
        with install_files(requirements, room) as files:
            command = ["pip", "install", *self._options, "--python", str(python), *files]
            try:
                await self._run([*command, "--offline"], room, held_back.extend)
            except InstallFailed:
                await self._run(command, room, on_output)
            else:
                on_output(bytes(held_back))

    async def _run(self, arguments: Sequence[str], room: Path, on_output: Output) -> None:
        said = bytearray()

        def hear(data: bytes) -> None:
            said.extend(data)
            del said[:-_KEPT_OUTPUT]
            on_output(data)

        ending = await self._execute([self._uv, *arguments], room, hear)
        if ending.status != 0:
            raise InstallFailed(_complaint(said), timed_out=ending.timed_out)

    async def _execute(self, command: Sequence[str], room: Path, on_output: Output) -> ProcessExit:
        request = {
            "command": command,
            "env": {**self._env, "TMPDIR": str(room)},
            "folder": "/",
            "limits": {},
            "writable": [str(room)],
        }
        async with self._zygotes.use(await self._ground()) as zygote:
            return await Execution(zygote, _LIMITS, on_output=on_output).run(request)

    async def _ground(self) -> ZygoteSpec:
        if self._cache is None:
            self._cache = await asyncio.to_thread(_cache_folder, self._uv, self._env)
        writable = self._sandbox.around([self._cache])
        return ZygoteSpec(Path(sys.executable), self._folder, bytecode=self._folder, writable=writable)


def _cache_folder(uv: str, env: Mapping[str, str]) -> Path:
    """Ask uv where its cache is, as its configuration files may say, and make it; uv tells why it can't be made."""
    asked = subprocess.run([uv, "cache", "dir"], capture_output=True, check=False, env=dict(env), cwd="/", text=True)
    if asked.returncode != 0:
        raise InstallFailed(asked.stderr.strip(), timed_out=False)
    folder = Path("/", asked.stdout.strip())
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _complaint(said: bytearray) -> str:
    """Give what uv said without the line that names a folder which is gone by the time that anybody reads it."""
    lines = said.decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith("Using Python ")).strip()


def find_uv() -> str:
    """Give uv's path, or raise `StartError`."""
    try:
        import uv  # it may be missing, and that is for a person to put right

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        message = "uv is missing, which makes the environments of plugins: pip install 'synapse-agent-client[agent]'"
        raise StartError(message) from error
