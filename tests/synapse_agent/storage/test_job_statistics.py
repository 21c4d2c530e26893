"""The number of jobs over time, in buckets."""

from __future__ import annotations

from pathlib import Path

from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.jobs import NewJob
from synapse_agent.util.times import now


def test_jobs_are_counted_in_the_bucket_of_their_creation(tmp_path: Path) -> None:
    """The last bucket ends now; an empty one has no duration."""
    database = Database(tmp_path / "agent.sqlite3")
    for job_id in ("a", "b"):
        database.jobs.create(
            NewJob(job_id=job_id, content="", release=None, action="act", method="task", created_at=now()),
            request=None,
        )
    *earlier, last = database.job_statistics.buckets(1, 60)
    assert (last.runs, last.failed, last.seconds) == (2, 0, None)
    assert {(bucket.runs, bucket.seconds) for bucket in earlier} == {(0, None)}
    assert len(earlier) == 59
    database.close()
