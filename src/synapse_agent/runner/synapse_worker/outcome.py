"""What became of a call of the plugin's code, as it is reported to the agent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from . import protocol
from .context import Context
from .failures import ActionFailure, action_failed
from .results import to_json
from .sandbox import Sandbox

_decode = json.JSONDecoder().decode


def outcome_of(
    work: Callable[[], Any], context: Context, *, limit: int, folder: str, sandbox: Sandbox
) -> tuple[bytes, bytes]:
    """Do the work and return the kind and payload of its report; a result of more than `limit` bytes is a failure."""
    try:
        written = to_json(work(), limit=limit)
        context.describe_result(**written.nonfinite.fields)
        return protocol.RESULT, _checked(written.text, limit)
    except SystemExit:
        raise
    except ActionFailure as failure:
        return _failed(failure)
    except BaseException as error:
        return _failed(action_failed(error, folder=folder, hint=sandbox.hint(error)))


def parted(request: bytes) -> tuple[dict[str, Any], bytes]:
    """Split a request into its first line, decoded, and the params."""
    head, _, params = request.partition(b"\n")
    return _decode(head.decode()), params


def read_params(text: bytes) -> dict[str, Any]:
    """Decode the params of a call."""
    try:
        params: dict[str, Any] = _decode(text.decode())
    except RecursionError:
        raise ActionFailure("invalid_params", "The params are nested too deeply for Python to read.") from None
    return params


def _failed(failure: ActionFailure) -> tuple[bytes, bytes]:
    return protocol.FAILURE, json.dumps(failure.fields).encode()


def _checked(payload: bytes, limit: int) -> bytes:
    if len(payload) > limit:
        message = f"The action's result takes {len(payload)} bytes of JSON; this agent keeps {limit}."
        raise ActionFailure("result_too_large", message, size=len(payload), limit=limit)
    return payload
