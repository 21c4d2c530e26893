"""The cached releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from synapse_agent.storage.repositories.statements import Statements

RELEASE_FILTERS = ("id", "plugin", "version", "name", "category", "description", "digest", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRelease:
    """A release before it has its ID; `actions` is JSON text, `digest` begins with `sha256:`."""

    plugin: str
    version: str
    name: str | None
    category: str | None
    description: str | None
    actions: str
    digest: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow(NewRelease):
    """A cached release."""

    id: int


class ReleaseRepository:
    """Stores the cached releases."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def create(self, release: NewRelease) -> ReleaseRow:
        """Record a release under a new ID, never used before."""
        return ReleaseRow(**self._statements.insert("releases", asdict(release)))

    def replace(self, release_id: int, release: NewRelease) -> ReleaseRow:
        """Record a release under the ID of the one that it replaces."""
        values = asdict(release)
        columns = ", ".join(f"{name} = :{name}" for name in values)
        self._statements.write(f"UPDATE releases SET {columns} WHERE id = :id", {**values, "id": release_id})
        return ReleaseRow(**values, id=release_id)

    def versions(self, plugin: str) -> list[str]:
        """Return the cached versions of a plugin."""
        rows = self._statements.rows(
            "SELECT version FROM releases WHERE plugin = :plugin ORDER BY version", {"plugin": plugin}
        )
        return [row["version"] for row in rows]

    def get(self, release_id: int) -> ReleaseRow | None:
        """Find a release by its ID."""
        return self._find("id = :id", {"id": release_id})

    def named(self, plugin: str, version: str) -> ReleaseRow | None:
        """Find a release by its code and version."""
        return self._find("plugin = :plugin AND version = :version", {"plugin": plugin, "version": version})

    def count(self, filters: Mapping[str, str]) -> int:
        """Count the matching releases; the names are of `RELEASE_FILTERS`."""
        row = self._statements.row(f"SELECT count(*) AS count FROM releases {_where(filters)}", filters)
        return row["count"] if row else 0

    def page(self, filters: Mapping[str, str], *, offset: int, limit: int) -> list[ReleaseRow]:
        """Return some of the matching releases, oldest first."""
        statement = f"SELECT * FROM releases {_where(filters)} ORDER BY id LIMIT :limit OFFSET :offset"
        rows = self._statements.rows(statement, {**filters, "limit": limit, "offset": offset})
        return [ReleaseRow(**row) for row in rows]

    def delete(self, digest: str) -> None:
        """Delete the release with this digest."""
        self._statements.write("DELETE FROM releases WHERE digest = :digest", {"digest": digest})

    def holds(self, digest: str) -> bool:
        """Return whether a release has this digest."""
        return self._find("digest = :digest", {"digest": digest}) is not None

    def digests(self) -> set[str]:
        """Return the digests of all cached releases."""
        return {row["digest"] for row in self._statements.rows("SELECT digest FROM releases")}

    def _find(self, condition: str, values: Mapping[str, object]) -> ReleaseRow | None:
        row = self._statements.row(f"SELECT * FROM releases WHERE {condition}", values)
        return ReleaseRow(**row) if row else None


def _where(filters: Mapping[str, str]) -> str:
    texts = {column: "CAST(id AS TEXT)" if column == "id" else column for column in filters}
    conditions = " AND ".join(f"{text} = :{column}" for column, text in texts.items())
    return f"WHERE {conditions}" if conditions else ""
