"""Files on an agent: upload what params refer to, download what results refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.arguments import check_reference
from synapse_sdk.clients.agent._session import transfer, uploads

if TYPE_CHECKING:
    import os
    from pathlib import Path
    from typing import BinaryIO

    from synapse_sdk.clients.agent._session.session import AsyncSession, Session
    from synapse_sdk.clients.agent._session.transfer import OnProgress

_Reference = Mapping[str, Any] | str
"""`{"$file": {"id": …, "name": …}}` as `upload_file` returns it and results hold it, or the id alone."""


class FileClientMixin:
    """The file methods of an agent's client. Runs send the files in their params by themselves.

    Besides what a method names, each raises `NotFoundError` for a file that the agent does not have, another
    `synapse_sdk.exceptions.ClientError`, and `TypeError` or `ValueError` for arguments that can't be right.
    """

    _session: Session

    def upload_file(
        self, file: Path | str | BinaryIO, *, on_progress: OnProgress | None = None, deadline: float | None = None
    ) -> dict[str, Any]:
        """Send a file to the agent, and return the reference that params take in its place.

        What the agent has of it already is not sent. A connection that breaks costs one part of 8 MiB at most.

        Args:
            file: Its path, or a file that is open in binary mode, from its position on.
            on_progress: Called with the bytes that have been sent, and how many there are.
            deadline: Seconds for all of it.

        Raises:
            ValueError: The file can't be read.
            HTTPError: Its status is 413 if the agent takes no file of this size.
        """
        return self._session.drive(uploads.one(file, on_progress, self._session.limit("uploading a file", deadline)))

    def download_file(
        self,
        reference: _Reference,
        to: str | os.PathLike[str] = ".",
        *,
        on_progress: OnProgress | None = None,
        deadline: float | None = None,
    ) -> Path:
        """Download a file that a result refers to, or that was uploaded, and return its path here.

        Args:
            reference: What the result holds, or the file's id.
            to: The path to write it to, or a folder.
            on_progress: Called with the bytes that have come, and how many there are.
            deadline: Seconds for all of it.
        """
        file_id, name = check_reference(reference)
        limit = self._session.limit(f"downloading the file {file_id}", deadline)
        return self._session.drive(transfer.stored_file(file_id, name, to, on_progress, limit))

    def delete_file(self, reference: _Reference) -> None:
        """Delete a file from the agent before it expires; a result that refers to it refers to nothing then.

        Raises:
            ConflictError: A run needs it.
        """
        self._session.send(calls.delete_file(check_reference(reference)[0]))


class AsyncFileClientMixin:
    """The asynchronous twin of `FileClientMixin`, which has the methods' descriptions."""

    _session: AsyncSession

    async def upload_file(
        self, file: Path | str | BinaryIO, *, on_progress: OnProgress | None = None, deadline: float | None = None
    ) -> dict[str, Any]:
        """Send a file to the agent, and return the reference that params take in its place."""
        limit = self._session.limit("uploading a file", deadline)
        return await self._session.drive(uploads.one(file, on_progress, limit))

    async def download_file(
        self,
        reference: _Reference,
        to: str | os.PathLike[str] = ".",
        *,
        on_progress: OnProgress | None = None,
        deadline: float | None = None,
    ) -> Path:
        """Download a file that a result refers to, or that was uploaded, and return its path here."""
        file_id, name = check_reference(reference)
        limit = self._session.limit(f"downloading the file {file_id}", deadline)
        return await self._session.drive(transfer.stored_file(file_id, name, to, on_progress, limit))

    async def delete_file(self, reference: _Reference) -> None:
        """Delete a file from the agent before it expires; a result that refers to it refers to nothing then."""
        await self._session.send(calls.delete_file(check_reference(reference)[0]))
