"""The releases that an agent has cached."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from synapse_agent.plugins.advice import advice
from synapse_agent.plugins.catalog import listed
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.fetched import FolderGone, again_if_removed, examined
from synapse_agent.plugins.freshness import Freshness
from synapse_agent.plugins.integrity import Integrity
from synapse_agent.plugins.release_records import new_release, release_record
from synapse_agent.plugins.requirements import RequirementRules
from synapse_agent.plugins.sources import PluginSource
from synapse_agent.problems import Problem, quoted, shutting_down
from synapse_agent.storage.data_folder import DataFolder
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.releases import ReleaseRow
from synapse_agent.storage.trees import remove_tree, tree_digest
from synapse_agent.util.changes import Change, Changes
from synapse_agent.util.threads import in_thread

logger = logging.getLogger(__name__)


_ID = re.compile(r"0|[1-9][0-9]{0,17}")
_MAX_REMEMBERED = 100


class Creation(NamedTuple):
    """A release, and the result of the request to cache it."""

    release: ReleaseRow
    is_new: bool
    """Whether this request has fetched its files."""
    source_changed: bool = False
    """Whether its source has other files now."""


class Releases:
    """Fetches releases into content-addressed folders and keeps them until they are deleted."""

    def __init__(
        self,
        *,
        folder: DataFolder,
        database: Database,
        source: PluginSource,
        rules: RequirementRules,
        schemas: Callable[[Path], Mapping[str, Any]],
        on_removed: Callable[[Path], Awaitable[None]],
        changes: Changes,
        in_use: Iterable[Path] = (),
    ) -> None:
        """Reconcile rows and folders; `on_removed` is called for each folder removed later.

        `in_use` are folders that runs of an earlier agent still use.
        """
        self._folder = folder
        self._rows = database.releases
        self._source = source
        self._integrity = Integrity(folder.root / "release-marks")
        self._checking: dict[str, asyncio.Task[None]] = {}
        self._rules = rules
        self._schemas = schemas
        self._on_removed = on_removed
        self._changes = changes
        self._freshness = Freshness(source, self._digest_at_source, folder.root / "source-marks")
        self._fetching: dict[tuple[str, str], asyncio.Task[ReleaseRow]] = {}
        self._is_closing = False
        self._uses: Counter[str] = Counter()
        self._configs: dict[str, PluginConfig] = {}
        self._warnings: dict[str, tuple[str, ...]] = {}
        self._found: dict[str, ReleaseRow] = {}
        self._paths: dict[str, Path] = {}
        self._remove_leftovers(set(in_use))

    def find(self, lookup: str) -> ReleaseRow:
        """Find a release by its ID or by `code@version`, or raise `Problem` 404 `release_not_found`."""
        row = self._found.get(lookup) or self._find(lookup)
        if row is None:
            raise _not_found(lookup)
        if len(self._found) >= _MAX_REMEMBERED:
            self._found.clear()
        self._found[lookup] = row
        return row

    async def create(self, plugin: str, version: str | None = None, *, refresh: bool = False) -> Creation:
        """Return a release, fetched if it is not cached, or with `refresh`.

        Without a version, return the source's only one. Raises `Problem`: the source's own, 422
        `ambiguous_release` that lists the versions, or 503 when closing.
        """
        if version is None:
            version = await self._only_version(plugin)
        row = self._rows.named(plugin, version)
        if row is not None and not refresh:
            await self.ready(row)
            has_changed = await self._freshness.has_changed(plugin, version, row.digest)
            return Creation(row, is_new=False, source_changed=has_changed)
        if self._is_closing:
            raise shutting_down("fetches no releases")
        key = (plugin, version)
        while refresh and key in self._fetching:  # it may have started before the source changed
            await asyncio.wait([self._fetching[key]])
        task = self._fetching.get(key)
        is_first = task is None
        if task is None:
            task = self._fetching[key] = asyncio.create_task(self._fetch(plugin, version))
            task.add_done_callback(lambda _: self._fetching.pop(key))
        try:
            fetched = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise shutting_down("fetches no releases") from None
            raise
        if row is not None and row.digest == fetched.digest:
            await self.ready(fetched)  # the cached files may be damaged
            return Creation(fetched, is_new=False)
        return Creation(fetched, is_new=is_first)

    async def close(self) -> None:
        """Fetch nothing more, cancel current fetches, and raise an error for the callers that wait for them."""
        self._is_closing = True
        tasks: list[asyncio.Task[Any]] = [*self._fetching.values(), *self._checking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def delete(self, lookup: str) -> None:
        """Delete a release at once; its folder is removed when no run uses it any more."""
        row = self.find(lookup)
        self._found.clear()
        self._rows.delete(row.digest)
        self._changes.publish(Change("release", "deleted", f"{row.plugin}@{row.version}"))
        try:
            await self._remove_unused(row.digest)
        except OSError as error:  # the next start removes them
            logger.warning("The files of the deleted release %s@%s are left: %s", row.plugin, row.version, error)

    def page(self, filters: Mapping[str, str], *, number: int, size: int) -> tuple[int, list[ReleaseRow]]:
        """Return the number of matching releases and those on a page, or raise `Problem` 404 `page_not_found`."""
        count = self._rows.count(filters)
        pages = max(1, -(-count // size))
        if number > pages:
            message = f"Page {number} was not found. With page_size {size}, the last page is {pages}."
            raise Problem(404, "page_not_found", message)
        return count, self._rows.page(filters, offset=(number - 1) * size, limit=size)

    def config(self, row: ReleaseRow) -> PluginConfig:
        """Return a release's configuration."""
        config = self._configs.get(row.digest)
        if config is None:
            config = self._configs[row.digest] = PluginConfig.read(self.path(row.digest))
        return config

    def params_schema(self, row: ReleaseRow, action: str) -> Mapping[str, Any] | None:
        """Return the JSON Schema of an action's params, None if unknown."""
        found: Mapping[str, Any] | None = self._schemas(self.path(row.digest)).get(action)
        return found

    def record(self, row: ReleaseRow) -> dict[str, Any]:
        """Return a release in the form of the contract."""
        warnings = self._warnings.get(row.digest)
        if warnings is None:
            warnings = self._warnings[row.digest] = self._advice(row)
        return release_record(row, warnings, self._schemas(self.path(row.digest)))

    def path(self, digest: str) -> Path:
        """Return the folder of the content with this digest."""
        path = self._paths.get(digest)
        if path is None:
            path = self._paths[digest] = self._folder.releases / digest.removeprefix("sha256:")
        return path

    async def ready(self, row: ReleaseRow) -> Path:
        """Return a release's folder, fetched again if its content was removed or changed.

        Raises `Problem` 409 `release_damaged` if that fails.
        """
        path = self.path(row.digest)
        task = self._checking.get(row.digest)
        if task is None and self._integrity.is_due(path):
            task = self._checking[row.digest] = asyncio.create_task(self._check(row, path))
            task.add_done_callback(lambda _: self._checking.pop(row.digest))
        if task is not None:
            await asyncio.shield(task)
        return path

    def lease(self, row: ReleaseRow) -> ReleaseLease:
        """Make a workspace out of a release's folder."""
        return ReleaseLease(self, row.digest, row)

    def lease_of(self, folder: Path) -> ReleaseLease:
        """Make a workspace out of a folder that a run of an earlier agent uses."""
        return ReleaseLease(self, f"sha256:{folder.name}", None)

    def claim(self, digest: str) -> None:
        """Protect a folder from removal until `give_back` has been called as often."""
        self._uses[digest] += 1

    async def give_back(self, digest: str) -> None:
        """Release a claimed folder; it is removed if its release has been deleted meanwhile."""
        self._uses[digest] -= 1
        if not self._uses[digest]:
            del self._uses[digest]
            await self._remove_unused(digest)

    def _advice(self, row: ReleaseRow) -> tuple[str, ...]:
        """Return warnings for its author; none for a release of an earlier agent that this one rejects."""
        try:
            return advice(self.path(row.digest), self.config(row))
        except (Problem, OSError):
            return ()

    def _find(self, lookup: str) -> ReleaseRow | None:
        if _ID.fullmatch(lookup):
            return self._rows.get(int(lookup))
        plugin, at, version = lookup.rpartition("@")
        return self._rows.named(plugin, version) if at else None

    async def _fetch(self, plugin: str, version: str) -> ReleaseRow:
        return await again_if_removed(lambda: self._fetch_once(plugin, version), f"{plugin}@{version}")

    async def adopt(self, fill: Callable[[Path], None], *, replace: bool) -> Creation:
        """Cache what `fill` writes into a folder, as the release in its `config.yaml`.

        Raises `Problem`: that of `fill`, 422 if it is not a plugin, 409 `release_conflict` without `replace` if that
        release is cached with other files, or 503 when closing.
        """
        if self._is_closing:
            raise shutting_down("accepts no releases")
        temporary = self._folder.temporary("adopt")
        try:
            await in_thread(fill, temporary)
            config = await in_thread(PluginConfig.read, temporary)
            config, digest = await examined(temporary, config.code, config.version, self._rules)
            cached = self._rows.named(config.code, config.version)
            if cached is not None and cached.digest != digest and not replace:
                raise _conflict(cached)
            row = await self._cache(temporary, config, digest)
        finally:
            await in_thread(remove_tree, temporary)
        await self.ready(row)
        return Creation(row, is_new=cached is None or cached.digest != digest)

    async def _fetch_once(self, plugin: str, version: str) -> ReleaseRow:
        temporary = self._folder.temporary("fetch")
        try:
            state = None
            with suppress(Problem, OSError):  # the fetch reports these
                state = await self._source.state(plugin=plugin, version=version)
            await self._source.fetch(plugin=plugin, version=version, into=temporary)
            config, digest = await examined(temporary, plugin, version, self._rules)
            self._freshness.note(digest, state=state)
            return await self._cache(temporary, config, digest)
        finally:
            await in_thread(remove_tree, temporary)

    async def _cache(self, temporary: Path, config: PluginConfig, digest: str) -> ReleaseRow:
        """Move a validated folder to its place, and write its row, possibly over an earlier one."""
        # No await before the row is written: no other request can see, or remove, a folder without its row.
        self._place(temporary, digest)
        cached = self._rows.named(config.code, config.version)
        if cached is None or cached.digest != digest:
            self._changes.publish(Change("release", "created", f"{config.code}@{config.version}", {"digest": digest}))
        if cached is None:
            return self._rows.create(new_release(config, digest))
        if cached.digest == digest:
            return cached
        self._found.clear()
        row = self._rows.replace(cached.id, new_release(config, digest))
        await self._remove_unused(cached.digest)
        return row

    async def _only_version(self, plugin: str) -> str:
        try:
            versions = await self._source.versions(plugin)
        except Problem:
            versions = self._rows.versions(plugin)  # its source may no longer exist
            if not versions:
                raise
        if len(versions) > 1:
            message = f"{quoted(plugin)} has several versions. Pass one of: {listed(versions)}."
            raise Problem(422, "ambiguous_release", message, versions=versions)
        return versions[0]

    async def _digest_at_source(self, plugin: str, version: str) -> str:
        temporary = self._folder.temporary("compare")
        try:
            await self._source.fetch(plugin=plugin, version=version, into=temporary)
            return await in_thread(tree_digest, temporary)
        finally:
            await in_thread(remove_tree, temporary)

    async def _check(self, row: ReleaseRow, path: Path) -> None:
        """Check a release's folder, once for all runs that wait for it, so that their order is kept."""
        if not await in_thread(self._integrity.check, path, row.digest):
            await self._restore(row)

    async def _restore(self, row: ReleaseRow) -> None:
        logger.warning("The cached files of %s@%s were changed; fetching them again", row.plugin, row.version)
        try:
            await again_if_removed(lambda: self._restore_once(row), f"{row.plugin}@{row.version}")
        except Problem as problem:
            raise _damaged(row, problem.message) from problem

    async def _restore_once(self, row: ReleaseRow) -> None:
        temporary = self._folder.temporary("fetch")
        try:
            await self._source.fetch(plugin=row.plugin, version=row.version, into=temporary)
            _, digest = await examined(temporary, row.plugin, row.version, self._rules)
            if digest != row.digest:
                raise _damaged(row, "its source has other files now")
            trash = self._folder.discard(self.path(digest))
            self._place(temporary, digest)
            await self._on_removed(self.path(digest))
            if trash:
                await in_thread(remove_tree, trash)
        finally:
            await in_thread(remove_tree, temporary)

    def _place(self, temporary: Path, digest: str) -> None:
        self._folder.releases.mkdir(exist_ok=True)  # it may have been removed
        if not self.path(digest).exists():
            try:
                temporary.rename(self.path(digest))
            except FileNotFoundError as error:
                raise FolderGone from error

    def _is_found(self, digest: str) -> bool:
        """Return whether a release that was found earlier still exists with this digest."""
        return any(row.digest == digest for row in self._found.values())

    async def _remove_unused(self, digest: str) -> None:
        if digest in self._uses or self._is_found(digest) or self._rows.holds(digest):
            return
        path = self.path(digest)
        self._configs.pop(digest, None)
        self._integrity.forget(path)
        self._freshness.forget(digest)
        self._warnings.pop(digest, None)
        self._paths.pop(digest, None)
        try:
            trash = self._folder.discard(path)
        finally:  # its processes see the folder that was there, also if that was removed
            await self._on_removed(path)
        if trash:
            await asyncio.to_thread(remove_tree, trash)

    def _remove_leftovers(self, in_use: set[Path]) -> None:
        """Bring rows and folders together again: an agent that was killed can leave a folder without a row."""
        digests = self._rows.digests()
        for digest in digests:
            if not self.path(digest).is_dir():
                logger.warning("The folder of a release was removed, so the release was deleted: %s", digest)
                self._rows.delete(digest)
        known = {*in_use, *(self.path(digest) for digest in digests)}
        for path in self._folder.releases.iterdir():
            if path not in known:
                remove_tree(path)


class ReleaseLease:
    """A run's hold on a release's folder."""

    def __init__(self, releases: Releases, digest: str, row: ReleaseRow | None) -> None:
        self._releases = releases
        self._digest = digest
        self._row = row

    def claim(self) -> None:
        """Keep the folder, also when its release is deleted."""
        self._releases.claim(self._digest)

    async def prepare(self) -> Path:
        """Return the folder, with what was cached in it."""
        assert self._row is not None
        return await self._releases.ready(self._row)

    def as_known(self, problem: Problem) -> Problem:
        """Return the problem unchanged; a release's files have no other names."""
        return problem

    async def release(self) -> None:
        """Release the folder."""
        await self._releases.give_back(self._digest)


def _damaged(row: ReleaseRow, why: str) -> Problem:
    what = f"The cached files of {quoted(f'{row.plugin}@{row.version}')} were changed or removed"
    message = f"{what}, and can't be fetched again: {why.rstrip('.')}. Delete the release and create it again."
    return Problem(409, "release_damaged", message)


def _conflict(row: ReleaseRow) -> Problem:
    what = f"{quoted(f'{row.plugin}@{row.version}')} is cached with other files"
    message = f"{what}. Raise the version in its config.yaml, or replace it."
    return Problem(409, "release_conflict", message, digest=row.digest)


def _not_found(lookup: str) -> Problem:
    hint = "Create it first" if "@" in lookup or _ID.fullmatch(lookup) else "Pass an ID or code@version"
    return Problem(404, "release_not_found", f"The release {quoted(lookup)} was not found on this agent. {hint}.")
