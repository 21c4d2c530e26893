"""Sending files to agents that violate the contract."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk.exceptions import ResponseParseError


def test_an_agent_that_receives_nothing_ends_the_upload(answering: Callable[..., Any]) -> None:
    """It accepts each part, but reports no progress: the upload would never end."""
    sent: list[str] = []

    def receive_nothing(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        if request.method == "GET":
            return httpx.Response(404, json={"detail": {"error_type": "file_not_found", "message": "no"}})
        return httpx.Response(200, json={"id": "x", "name": None, "media_type": None, "size": 3, "received": 0})

    with pytest.raises(ResponseParseError, match="has only 0 bytes"):
        answering(receive_nothing).upload_file(io.BytesIO(b"abc"))
    assert sent == ["GET", "PUT"]
