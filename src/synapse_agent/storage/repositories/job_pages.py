"""Pages of jobs, newest first, each found by an index for any number of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from types import MappingProxyType

from synapse_agent.storage.repositories.jobs import FRESH, JobRow, numbers
from synapse_agent.storage.repositories.statements import Statements

OVER = ("SUCCEEDED", "FAILED", "STOPPED")
"""The statuses of jobs that are over."""
LISTED_PARAMS = 4_000
"""Size in bytes above which lists omit params."""
MOST_OF_A_PREFIX = 1_000
"""Limit on jobs found by a prefix of their ID, since they have to be sorted."""
_MOST_ACTIONS = 80
"""Limit on the actions of a release that get queries of their own; SQLite combines at most 500."""
_CARRIES_KEY = (
    "id IN (SELECT id FROM jobs WHERE idempotency_key = :key UNION SELECT job FROM idempotency_keys WHERE key = :key)"
)
_HAS_PREFIX = f"""id IN (
    SELECT id FROM jobs WHERE job_id >= :prefix AND job_id < :prefix || char(1114111) AND NOT is_replaced
    LIMIT {MOST_OF_A_PREFIX})"""
_ACTIONS = """
    WITH RECURSIVE names(name) AS (
        SELECT min(action) FROM jobs WHERE release = :release AND NOT is_fresh
        UNION ALL SELECT (SELECT min(action) FROM jobs
            WHERE release = :release AND NOT is_fresh AND action > name) FROM names
        WHERE name IS NOT NULL)
    SELECT name FROM names WHERE name IS NOT NULL
"""
_COLUMNS = ", ".join(
    f"CASE WHEN length(params) <= {LISTED_PARAMS} THEN params END AS params" if each.name == "params" else each.name
    for each in fields(JobRow)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilters:
    """Which jobs to list; None matches all."""

    status: str | None = None
    release: str | None = None
    action: str | None = None
    job_id_prefix: str | None = None
    idempotency_key: str | None = None
    """It also finds the job that it was bound to later."""
    created_after: str | None = None
    """Jobs created at this time or later, in the format of `times.now()`."""
    created_before: str | None = None
    """Jobs created before this time."""


EVERY_JOB = JobFilters()


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of several queries; a job has to match one of them."""

    equal: Mapping[str, str]
    conditions: tuple[str, ...] = ()
    index: str = ""
    plus: str = ""


def listed(row: JobRow) -> JobRow:
    """Return a job as in a page."""
    return replace(row, params=None) if row.params and len(row.params) > LISTED_PARAMS else row


class JobPages:
    """Finds jobs page by page.

    Indexes of finished jobs cover release, action and status; action and status; and status alone. A filter that
    omits one of these columns becomes one query per value of it, which SQLite merges by their order.
    Jobs that are not over, and the last ones that are, are few and in one index: the others get many rows at once.
    """

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def page(
        self,
        filters: JobFilters = EVERY_JOB,
        *,
        limit: int,
        before: int | None = None,
        newer: Mapping[int, str] = MappingProxyType({}),
    ) -> list[JobRow]:
        """Return jobs, newest first; `before` is a row.

        `newer` are the statuses of a few rows that are not recorded yet; these count instead.
        """
        if filters.status is None or not newer:
            return self._page(filters, [], limit=limit, before=before)
        recorded = self._page(filters, [f"id NOT IN ({numbers(newer)})"], limit=limit, before=before)
        fitting = [row_id for row_id, status in newer.items() if status == filters.status]
        others = replace(filters, status=None)
        found = self._page(others, [f"id IN ({numbers(fitting)})"], limit=limit, before=before) if fitting else []
        return sorted([*recorded, *found], key=lambda row: -row.id)[:limit]

    def _page(self, filters: JobFilters, conditions: Sequence[str], *, limit: int, before: int | None) -> list[JobRow]:
        few = _conditions_that_few_meet(filters)
        values: dict[str, object] = {
            "key": filters.idempotency_key,
            "prefix": filters.job_id_prefix,
            "after": filters.created_after or "",
            "until": filters.created_before or "9999",
            "limit": limit,
            **self._bounds(filters, before),
        }
        everywhere = [*conditions, *few, "id >= :first", "id < :end", "created_at >= :after", "created_at < :until"]
        everywhere += [] if filters.idempotency_key else ["NOT is_replaced"]
        queries = []
        given = _equalities(filters)
        # A plus keeps SQLite from using an index for a column when another condition leaves few rows anyhow.
        choices = [_Choice(given, plus="+")] if few or not given else self._choices(given)
        for number, choice in enumerate(choices):
            own = [f"{choice.plus}{column} = :{column}{number}" for column in choice.equal]
            values |= {f"{column}{number}": value for column, value in choice.equal.items()}
            fitting = " AND ".join([*own, *choice.conditions, *everywhere])
            queries.append(f"SELECT id FROM jobs {choice.index} WHERE {fitting}")
        ids = f"{' UNION ALL '.join(queries)} ORDER BY id DESC LIMIT :limit"
        statement = f"SELECT {_COLUMNS} FROM jobs WHERE id IN ({ids}) ORDER BY id DESC"
        return [JobRow(**row) for row in self._statements.rows(statement, values)]

    def _choices(self, given: Mapping[str, str]) -> list[_Choice]:
        """Return queries that together find the rows with the given values."""
        statuses = [given["status"]] if "status" in given else OVER
        over = [
            _Choice({**given, **action, "status": each}, ("NOT is_fresh",), _index_for(given))
            for action, each in product(self._actions(given), statuses)
        ]
        return [_Choice(given, ("is_fresh",), "INDEXED BY jobs_fresh"), *over]

    def _actions(self, given: Mapping[str, str]) -> list[dict[str, str]]:
        """Return the actions to query one by one: those that a release has run, if the filter has no action."""
        if "action" in given or "release" not in given:
            return [{}]
        found = [{"action": row["name"]} for row in self._statements.rows(_ACTIONS, given)]
        return found if len(found) <= _MOST_ACTIONS else [{}]

    def _bounds(self, filters: JobFilters, before: int | None) -> dict[str, int]:
        """Return the rows that bound a page: they are numbered in order of creation."""
        first, end = 0, 2**62 if before is None else before
        if filters.created_after is not None:
            first = min(self._rows_at(">=", "created_at, id", filters.created_after), default=end)
        if filters.created_before is not None:
            last = max(self._rows_at("<", "created_at DESC, id DESC", filters.created_before), default=-1)
            end = min(end, last + 1)
        return {"first": first, "end": end}

    def _rows_at(self, comparison: str, order: str, at: str) -> list[int]:
        """Return the first settled row in this order, and all fresh ones."""
        fits = f"created_at {comparison} :at"
        settled = f"SELECT id FROM jobs WHERE NOT is_fresh AND {fits} ORDER BY {order} LIMIT 1"
        statement = f"SELECT id FROM ({settled}) UNION ALL SELECT id {FRESH} AND {fits}"
        return [row["id"] for row in self._statements.rows(statement, {"at": at})]


def _index_for(given: Mapping[str, str]) -> str:
    """Return the index, because SQLite might choose another one that has many rows of a status."""
    column = next(each for each in ("release", "action", "status") if each in given)
    return f"INDEXED BY jobs_by_{column}"


def _equalities(filters: JobFilters) -> dict[str, str]:
    given = {"release": filters.release, "action": filters.action, "status": filters.status}
    return {column: value for column, value in given.items() if value is not None}


def _conditions_that_few_meet(filters: JobFilters) -> list[str]:
    found = [] if filters.idempotency_key is None else [_CARRIES_KEY]
    return found if filters.job_id_prefix is None else [*found, _HAS_PREFIX]
