"""The outcome of a call of the plugin's code, as reported to the agent."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from . import protocol
from .context import Context
from .failures import ActionFailure, action_failed
from .imports import WATCH
from .result_files import ResultFiles
from .results import JsonText, ResultFailure, to_json
from .sandbox import Sandbox

GENERATORS = (GeneratorType, AsyncGeneratorType)
_decode = json.JSONDecoder().decode


def outcome_of(
    work: Callable[[], Any], context: Context, *, limit: int, folder: str, sandbox: Sandbox
) -> tuple[bytes, bytes]:
    """Do the work and return kind and payload of its report; a result of more than `limit` bytes is a failure."""
    try:
        return protocol.RESULT, _checked(written(work(), context, limit=limit).text, limit)
    except SystemExit:
        raise
    except ActionFailure as failure:
        if isinstance(failure, ResultFailure):
            failure.keep_repr(context.outputs_folder)
        return _failed(failure)
    except BaseException as error:
        return _failed(action_failed(error, folder=folder, hint=sandbox.hint(error)))


def written(result: Any, context: Context, *, limit: int) -> JsonText:
    """Serialize a result, unless that is already done; yielded values are reported as they arrive."""
    if isinstance(result, JsonText):
        return result
    if is_generator := isinstance(result, GENERATORS):
        from .streams import OutputStream  # rarely needed

        text = OutputStream(context, limit=limit).run(result)
    else:
        WATCH.end()
        text = to_json(result, limit=limit, files=ResultFiles(context.outputs_folder))
    context.describe_result(is_generator, text.nonfinite)
    return text


def parted(request: bytes) -> tuple[dict[str, Any], bytes]:
    """Split a request into its first line, decoded, and the params."""
    head, _, params = request.partition(b"\n")
    return _decode(head.decode()), params


def read_params(text: bytes) -> dict[str, Any]:
    """Decode the params of a call."""
    try:
        params: dict[str, Any] = _decode(text.decode())
    except RecursionError:
        raise ActionFailure("invalid_params", "The params are nested too deeply for Python to parse.") from None
    return params


def _failed(failure: ActionFailure) -> tuple[bytes, bytes]:
    return protocol.FAILURE, json.dumps(failure.fields).encode()


def _checked(payload: bytes, limit: int) -> bytes:
    if len(payload) > limit:
        message = f"The action's result has {len(payload)} bytes of JSON, more than this agent's limit of {limit}."
        raise ActionFailure("result_too_large", message, size=len(payload), limit=limit)
    return payload
