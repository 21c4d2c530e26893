"""Plugins from a backend: their records, their archives, and the errors of both."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from synapse_agent.plugins.archives import ARCHIVE_SUFFIX, DamagedArchive, unpack
from synapse_agent.plugins.backend.addresses import BackendFault, NotThere, backend_address, origin, resolved
from synapse_agent.plugins.backend.download import download
from synapse_agent.plugins.backend.reach import Reach
from synapse_agent.plugins.backend.record import Record
from synapse_agent.plugins.backend.session import BackendSession, Bounds
from synapse_agent.problems import Problem, quoted
from synapse_agent.storage.trees import TreeError
from synapse_agent.util.threads import in_thread
from synapse_agent_api.http_library import httpx

logger = logging.getLogger(__name__)


class BackendSource:
    """Fetches the archives that a backend's records name, and accepts only what matches its record."""

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        bounds: Bounds | None = None,
        allowed: Sequence[str] = (),
        report_every: float = 5.0,
    ) -> None:
        """Prepare to fetch, without a request; downloads are logged every `report_every` seconds.

        `allowed` are hosts and networks that records may name although they are not public; see `Reach`. Raises
        `StartError` if the address, or the environment's proxies, cannot be used.
        """
        self._address = backend_address(address)
        self._token = token
        self._bounds = bounds or Bounds()
        self._report_every = report_every
        reach = Reach(self._address, allowed=allowed)
        self._session = BackendSession(self._address, token=token, bounds=self._bounds, reach=reach)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._session.close()

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        """Download, verify and unpack; the archive is stored beside `into` meanwhile."""
        name = quoted(f"{plugin}@{version}")
        until = asyncio.get_running_loop().time() + self._bounds.total
        archive = into.with_name(into.name + ARCHIVE_SUFFIX)
        record, url = await self._find(plugin, version, name=name, until=until)
        try:
            with self._told(name, self._archive_at(url)):
                await self._download(record, url, archive, name=name, until=until)
                await self._unpack(archive, into, name=name)
        finally:
            await in_thread(archive.unlink, missing_ok=True)

    async def state(self, *, plugin: str, version: str) -> str | None:  # noqa: ARG002 - as every source has it
        """Return None: a backend does not change a release, and cached ones must be usable without it."""
        return None

    async def versions(self, plugin: str) -> list[str]:
        """Raise `Problem` 422: a backend does not list versions."""
        message = f"The backend {origin(self._address)} does not list versions. Pass a version of {quoted(plugin)}."
        raise Problem(422, "ambiguous_release", message)

    async def _find(self, plugin: str, version: str, *, name: str, until: float) -> tuple[Record, httpx.URL]:
        url = _below(self._address, "plugin_releases", f"{plugin}@{version}")
        with self._told(name, "its record"):
            try:
                async with self._session.get(url, headers={"Accept": "application/json"}, until=until) as response:
                    body = await _body(response, max_bytes=self._bounds.record_bytes)
            except NotThere as missing:
                message = f"The backend {origin(self._address)} has no {name}."
                raise Problem(404, "release_not_found", message) from missing
            record = Record.read(body, content_type=response.headers.get("content-type", ""))
        with self._told(name, "its archive"):
            return record, resolved(record.url, base=response.url)

    async def _download(self, record: Record, url: httpx.URL, path: Path, *, name: str, until: float) -> None:
        headers = {"Accept-Encoding": "identity"}  # an archive is already compressed, and its size is useful
        async with self._session.get(url, headers=headers, until=until) as response:
            found = await download(
                response,
                path,
                name=f"{name} from {origin(response.url)}",
                max_bytes=self._bounds.archive_bytes,
                every=self._report_every,
            )
        if found != record.sha256:
            raise BackendFault(f"does not match its checksum: sha256 {record.sha256} in the record, but {found}")

    async def _unpack(self, archive: Path, into: Path, *, name: str) -> None:
        try:
            await in_thread(unpack, archive, into, limits=self._bounds.unpacked)
        except DamagedArchive as error:
            raise BackendFault(f"matches the record, but {error}") from error
        except TreeError as error:
            raise Problem(422, "invalid_archive", f"The archive of {name}: {error}.") from error

    def _archive_at(self, url: httpx.URL) -> str:
        where = origin(url)
        return "its archive" if where == origin(self._address) else f"its archive at {where}"

    @contextmanager
    def _told(self, name: str, what: str) -> Iterator[None]:
        try:
            yield
        except BackendFault as fault:
            where = origin(self._address)
            message = f"Fetching {name} from the backend {where} failed: {self._safe(f'{what} {fault}')}."
            logger.warning("%s", message)
            raise Problem(502, "backend_error", message) from fault

    def _safe(self, text: str) -> str:
        """Remove the token, which a backend may have sent back in quoted text, escaped or as a host."""
        if not self._token:
            return text
        forms = {re.escape(form) for form in (self._token, repr(self._token)[1:-1])}
        return re.sub("|".join(forms), "(token)", text, flags=re.IGNORECASE)


async def _body(response: httpx.Response, *, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            raise BackendFault(f"has more than {max_bytes} bytes, the limit for a record")
    return bytes(body)


def _below(address: httpx.URL, *segments: str) -> httpx.URL:
    path = "/".join(quote(segment, safe="") for segment in segments)
    return address.copy_with(raw_path=address.raw_path.rstrip(b"/") + f"/{path}/".encode())
