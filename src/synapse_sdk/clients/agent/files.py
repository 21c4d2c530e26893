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
"""`{"$file": {"id": …, "name": …}}` as returned by `upload_file` and contained in results, or only the ID."""


class FileClientMixin:
    """The file methods of an agent's client. Runs send the files in their params automatically.

    Besides what a method names, each raises `NotFoundError` for a file that the agent does not have, another
    `synapse_sdk.exceptions.ClientError`, and `TypeError` or `ValueError` for invalid arguments.
    """

    _session: Session

    def upload_file(
        self, file: Path | str | BinaryIO, *, on_progress: OnProgress | None = None, deadline: float | None = None
    ) -> dict[str, Any]:
        """Send a file to the agent, and return the reference for params.

        Data that the agent already has is not sent. A broken connection costs one part of at most 8 MiB.

        Args:
            file: Its path, or a file open in binary mode, from its position on.
            on_progress: Called with the sent and the total bytes.
            deadline: Seconds for the whole upload.

        Raises:
            ValueError: The file can't be read.
            HTTPError: Its status is 413 if the agent does not accept a file of this size.
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
        """Download a file that a result refers to, or that was uploaded, and return its local path.

        Args:
            reference: The reference in the result, or the file's ID.
            to: The path to write it to, or a folder.
            on_progress: Called with the received and the total bytes.
            deadline: Seconds for the whole download.
        """
        file_id, name = check_reference(reference)
        limit = self._session.limit(f"downloading the file {file_id}", deadline)
        return self._session.drive(transfer.stored_file(file_id, name, to, on_progress, limit))

    def delete_file(self, reference: _Reference) -> None:
        """Delete a file from the agent before it expires; references to it in results become invalid.

        Raises:
            ConflictError: A run needs it.
        """
        self._session.send(calls.delete_file(check_reference(reference)[0]))


class AsyncFileClientMixin:
    """The asynchronous twin of `FileClientMixin`, which describes the methods."""

    _session: AsyncSession

    async def upload_file(
        self, file: Path | str | BinaryIO, *, on_progress: OnProgress | None = None, deadline: float | None = None
    ) -> dict[str, Any]:
        """Send a file to the agent, and return the reference for params."""
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
        """Download a file that a result refers to, or that was uploaded, and return its local path."""
        file_id, name = check_reference(reference)
        limit = self._session.limit(f"downloading the file {file_id}", deadline)
        return await self._session.drive(transfer.stored_file(file_id, name, to, on_progress, limit))

    async def delete_file(self, reference: _Reference) -> None:
        """Delete a file from the agent before it expires; references to it in results become invalid."""
        await self._session.send(calls.delete_file(check_reference(reference)[0]))
