"""The agent as an ASGI application: the contract's paths, handlers and errors."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import ModuleType

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synapse_agent.agent import Agent
from synapse_agent.observe.requests import AccessLog
from synapse_agent.page.files import FILES, PageFile
from synapse_agent.problems import InvalidRequest, Problem
from synapse_agent.server import handlers, overview_handlers, session_handlers
from synapse_agent.server.auth import AuthMiddleware
from synapse_agent.server.observation import ERROR_TYPE, ROUTE, STATUS, ObservingMiddleware
from synapse_agent.server.operations import Operation, load_contract, match_handlers, read_operations
from synapse_agent.server.overview_handlers import METRICS_PATH, MetricsPage
from synapse_agent.server.parser_process import BodyParser
from synapse_agent.server.request_body import BodyLimits, ClientGone, MemoryBudget
from synapse_agent.server.requests import OperationRequest, read_request
from synapse_agent.server.response_headers import REQUEST_ID, request_id, signature
from synapse_agent.server.responses import error_answer, problem_answer
from synapse_agent.server.routing import Routes
from synapse_agent.settings import Settings
from synapse_agent.storage.disk import is_unwritable, unwritable
from synapse_agent.storage.token_file import Token, read_tokens

logger = logging.getLogger(__name__)

Handler = Callable[[Agent, OperationRequest], Awaitable[Response]]
BODIES_AT_ONCE = 4
"""Bodies of the largest size that fit into memory together; of the usual size, thousands do."""


def build_app(
    agent: Agent, settings: Settings, parser: BodyParser | None = None, tokens: Sequence[Token] | None = None
) -> ASGIApp:
    """Build an agent's application; `tokens` are those of the settings, if they have been read already."""
    tokens = read_tokens(settings) if tokens is None else tokens
    parser = parser or BodyParser()
    contract = load_contract()
    operations = read_operations(contract)
    modules = (handlers, session_handlers, overview_handlers)
    table = {name: handler for module in modules for name, handler in _handlers(module).items()}
    match_handlers(operations, table)
    room = MemoryBudget(BODIES_AT_ONCE * settings.max_body_bytes)
    limits = BodyLimits(settings.max_body_bytes, settings.request_timeout, room)
    apps: dict[str, ASGIApp] = {
        path: _Endpoint(agent, table, group, limits=limits, parser=parser)
        for path, group in _by_path(operations).items()
    }
    apps |= {path: PageFile(path) for path in FILES} | {METRICS_PATH: MetricsPage(agent.observer)}
    hosts = [settings.host, *settings.allowed_hosts]
    app: ASGIApp = ErrorMiddleware(AuthMiddleware(Routes(apps), tokens=tokens, hosts=hosts))
    if settings.check_answers:
        from synapse_agent.server.contract_check import ContractMiddleware  # rarely used

        app = ContractMiddleware(app, contract)
    return ObservingMiddleware(
        app, [AccessLog(settings.access_log).log, agent.observer.metrics.note_request], agent.observer.tracing
    )


class ErrorMiddleware:
    """Routes by the raw path, adds the common headers, and turns exceptions into the contract's errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["path"] = scope["raw_path"].decode("latin-1")
        request = scope[REQUEST_ID] = request_id(scope["headers"])
        has_begun = False

        async def signed(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.start":
                scope[STATUS] = message["status"]
                message["headers"] = [*message["headers"], *signature(request)]
            await send(message)

        try:
            await self._app(scope, receive, signed)
        except ClientGone:
            return
        except Exception as error:
            scope[ERROR_TYPE] = _kind_of(error)
            if has_begun:
                raise
            await _error_answer(error, request)(scope, receive, signed)


class _Endpoint:
    """The operations of one path."""

    def __init__(
        self,
        agent: Agent,
        table: dict[str, Handler],
        group: Iterable[Operation],
        *,
        limits: BodyLimits,
        parser: BodyParser,
    ) -> None:
        self._agent = agent
        self._operations = {operation.method: (operation, table[operation.operation_id]) for operation in group}
        self._limits = limits
        self._parser = parser

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["method"] == "HEAD"
        found = self._operations.get("GET" if is_head else scope["method"])
        if found is None:
            allowed = sorted({*self._operations, *(["HEAD"] if "GET" in self._operations else [])})
            message = f"{scope['method']} is not allowed here. Allowed: {', '.join(allowed)}."
            raise Problem(405, "method_not_allowed", message, allow=allowed)
        operation, handler = found
        scope[ROUTE] = operation.path
        request = await read_request(operation, scope, receive, limits=self._limits, parser=self._parser)
        response = await handler(self._agent, request)
        if is_head:
            response = _without_body(response)
        await response(scope, receive, send)


def _handlers(module: ModuleType) -> dict[str, Handler]:
    return {
        name: member
        for name, member in inspect.getmembers(module, inspect.iscoroutinefunction)
        if not name.startswith("_") and member.__module__ == module.__name__
    }


def _by_path(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """Group operations by path; a path that ends in a parameter also matches with a trailing slash."""
    groups: dict[str, list[Operation]] = {}
    for operation in operations:
        groups.setdefault(operation.path, []).append(operation)
    slashed = {f"{path}/": group for path, group in groups.items() if path.endswith("}")}
    return {**groups, **slashed}


def _without_body(response: Response) -> Response:
    """Return the response to HEAD: all but the body, which may be endless."""
    head = Response(status_code=response.status_code)
    head.raw_headers = response.raw_headers
    return head


def _kind_of(error: Exception) -> str:
    """Describe a request for the log."""
    if isinstance(error, InvalidRequest):
        return str(error.items[0]["type"])
    return error.error_type if isinstance(error, Problem) else "internal_error"


def _error_answer(error: Exception, request: str) -> Response:
    if isinstance(error, InvalidRequest):
        return error_answer(422, error.items)
    if isinstance(error, Problem):
        return problem_answer(error)
    if is_unwritable(error):
        logger.error("Request %s could not use the data folder: %s", request, error)
        return problem_answer(unwritable(error))
    logger.error("Request %s failed inside the agent", request, exc_info=error)
    return problem_answer(Problem(500, "internal_error", "The agent failed; its log has the reason."))
