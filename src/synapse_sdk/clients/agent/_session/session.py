"""Execute the steps of calls and methods: thin layers that send, wait and run calls concurrently."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import Config, Timeout
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._response.errors import StreamingResponse
from synapse_sdk.clients.agent._session import uploads
from synapse_sdk.clients.agent._session.job_follow import LogFollower, OutputFollower, job_result
from synapse_sdk.clients.agent._session.retry import AgentFeatures, exchange
from synapse_sdk.clients.agent._session.steps import Ask, Emit, Limit, LocalWork, NextPart, Step, Steps, Wait
from synapse_sdk.clients.agent._transport.transport import AsyncTransport, Transport
from synapse_sdk.clients.agent.clock import CLOCK, Clock
from synapse_sdk.exceptions import ClientError

T = TypeVar("T")


def without_internals(error: ClientError) -> ClientError:
    """Return an error without the frames below the called method, which do not help its caller."""
    return error.with_traceback(None)


class _Session:
    """The common part of both sessions."""

    config: Config
    clock: Clock

    def limit(self, what: str, deadline: float | None = None) -> Limit:
        """Return the time limit of a method, from its own deadline or the client's."""
        return Limit(self.config.adapted(deadline=deadline).deadline, self.clock, what)

    def following(self, job_id: str, deadline: float | None) -> Steps[None]:
        """Return the steps that follow a job's log."""
        limit = self.limit(f"following job {job_id!r}", deadline)
        return LogFollower(job_id, limit=limit, max_retries=self.config.max_retries, clock=self.clock).steps()

    def streaming(self, request: Request, deadline: float | None) -> Steps[None]:
        """Return the steps that start a run in the background and follow its values."""
        limit = self.limit("following the values of a run; the job continues", deadline)
        job = yield from uploads.run(request, limit)
        follower = OutputFollower(job["job_id"], limit=limit, max_retries=self.config.max_retries, clock=self.clock)
        yield from follower.values()

    def waiting(self, job_id: str, deadline: float | None) -> Steps[Any]:
        """Return the steps that wait for a job's result."""
        return job_result(job_id, self.limit(f"waiting for job {job_id!r}; the job continues", deadline))


class Session(_Session):
    """Sends calls in the threads of their callers, which wait for the answers."""

    def __init__(
        self,
        config: Config,
        transport: Transport,
        *,
        agent: AgentFeatures | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self.config = config
        self.transport = transport
        self._agent = agent or AgentFeatures()
        self.clock = clock

    def adapted(self, config: Config) -> Session:
        """Return a session with other settings on the same connections."""
        return Session(config, self.transport, agent=self._agent, clock=self.clock)

    def send(
        self,
        request: Request,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        patience: float | None = None,
    ) -> Any:
        """Send a call, with retries, and return the content of its answer."""
        config = self.config
        if timeout is not None or deadline is not None:
            config = config.adapted(timeout=timeout, deadline=deadline)
        effects = exchange(request, config, self._agent, self.clock, patience=patience)
        reply = None
        try:
            while True:
                effect = effects.send(reply)
                reply = self.transport.carry(effect) if isinstance(effect, Send) else self.clock.sleep(effect.seconds)
        except StopIteration as stop:
            return stop.value
        except ClientError as error:
            raise without_internals(error) from error.__cause__

    def run(self, request: Request, *, timeout: Timeout | None = None, deadline: float | None = None) -> Any:
        """Send a run, after the files in its params, and return the content of its answer."""
        try:
            if request.unsent is None:
                return self.send(request, timeout=timeout, deadline=deadline)
            return self.drive(uploads.run(request, self.limit("sending files and running", deadline), timeout))
        except ClientError as error:
            raise without_internals(error) from error.__cause__

    def drive(self, steps: Steps[T], max_concurrency: int = 1) -> T:
        """Execute the steps of a method and return its result; `max_concurrency` calls run concurrently."""
        advance, reply = steps.send, None
        try:
            while True:
                step = advance(reply)
                advance, reply = steps.send, None
                try:
                    reply = self._take(step, max_concurrency)
                except (ClientError, OSError) as error:
                    advance, reply = steps.throw, error
        except StopIteration as stop:
            result: T = stop.value
            return result
        except ClientError as error:
            raise without_internals(error) from error.__cause__
        finally:
            steps.close()

    def iterate(self, steps: Steps[None]) -> Generator[Any, None, None]:
        """Execute the steps of a method that reads a stream, and yield what they emit."""
        opened: StreamingResponse | None = None
        advance, reply = steps.send, None
        try:
            while True:
                step = advance(reply)
                advance, reply = steps.send, None
                try:
                    if isinstance(step, Emit):
                        yield step.value
                    elif isinstance(step, NextPart):
                        reply = b"" if opened is None else next(opened.parts, b"")
                    else:
                        if opened is not None:
                            opened.close()
                        reply = self._take(step, 1)
                        opened = reply if isinstance(reply, StreamingResponse) else None
                except ClientError as error:
                    advance, reply = steps.throw, error
        except StopIteration:
            return
        except ClientError as error:
            raise without_internals(error) from error.__cause__
        finally:
            if opened is not None:
                opened.close()

    def _take(self, step: Step, max_concurrency: int) -> Any:
        if isinstance(step, Ask):
            return self.send(step.request, timeout=step.timeout, deadline=step.deadline, patience=step.patience)
        if isinstance(step, Wait):
            return self.clock.sleep(step.seconds)
        if isinstance(step, LocalWork):
            return step.work()
        assert isinstance(step, Sequence), "the other steps are for streams"
        return self._together(step, max_concurrency)

    def _together(self, asked: Sequence[Ask], max_concurrency: int) -> list[Any]:
        """Return the result of each call, or its error."""
        try:
            with ThreadPoolExecutor(max_concurrency, thread_name_prefix="synapse-sdk") as pool:
                return list(pool.map(self._sent_or_error, asked))
        except RuntimeError:  # no thread can be started, such as when the interpreter is shutting down
            return [self._sent_or_error(ask) for ask in asked]

    def _sent_or_error(self, ask: Ask) -> Any:
        try:
            return self._take(ask, 1)
        except ClientError as error:
            return error


class AsyncSession(_Session):
    """The asynchronous twin of `Session`."""

    def __init__(
        self,
        config: Config,
        transport: AsyncTransport,
        *,
        agent: AgentFeatures | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self.config = config
        self.transport = transport
        self._agent = agent or AgentFeatures()
        self.clock = clock

    def adapted(self, config: Config) -> AsyncSession:
        """Return a session with other settings on the same connections."""
        return AsyncSession(config, self.transport, agent=self._agent, clock=self.clock)

    async def send(
        self,
        request: Request,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        patience: float | None = None,
    ) -> Any:
        """Send a call, with retries, and return the content of its answer."""
        config = self.config
        if timeout is not None or deadline is not None:
            config = config.adapted(timeout=timeout, deadline=deadline)
        effects = exchange(request, config, self._agent, self.clock, patience=patience)
        reply = None
        try:
            while True:
                effect = effects.send(reply)
                reply = await (
                    self.transport.carry(effect) if isinstance(effect, Send) else self.clock.async_sleep(effect.seconds)
                )
        except StopIteration as stop:
            return stop.value
        except ClientError as error:
            raise without_internals(error) from error.__cause__

    async def run(self, request: Request, *, timeout: Timeout | None = None, deadline: float | None = None) -> Any:
        """Send a run, after the files in its params, and return the content of its answer."""
        try:
            if request.unsent is None:
                return await self.send(request, timeout=timeout, deadline=deadline)
            return await self.drive(uploads.run(request, self.limit("sending files and running", deadline), timeout))
        except ClientError as error:
            raise without_internals(error) from error.__cause__

    async def drive(self, steps: Steps[T], max_concurrency: int = 1) -> T:
        """Execute the steps of a method and return its result; `max_concurrency` calls run concurrently."""
        advance, reply = steps.send, None
        try:
            while True:
                step = advance(reply)
                advance, reply = steps.send, None
                try:
                    reply = await self._take(step, max_concurrency)
                except (ClientError, OSError) as error:
                    advance, reply = steps.throw, error
        except StopIteration as stop:
            result: T = stop.value
            return result
        except ClientError as error:
            raise without_internals(error) from error.__cause__
        finally:
            steps.close()

    async def iterate(self, steps: Steps[None]) -> AsyncGenerator[Any, None]:
        """Execute the steps of a method that reads a stream, and yield what they emit."""
        opened: StreamingResponse | None = None
        advance, reply = steps.send, None
        try:
            while True:
                try:
                    step = advance(reply)
                except StopIteration:
                    return
                advance, reply = steps.send, None
                try:
                    if isinstance(step, Emit):
                        yield step.value
                    elif isinstance(step, NextPart):
                        reply = b"" if opened is None else await anext(opened.parts, b"")
                    else:
                        if opened is not None:
                            await opened.close()
                        reply = await self._take(step, 1)
                        opened = reply if isinstance(reply, StreamingResponse) else None
                except ClientError as error:
                    advance, reply = steps.throw, error
        except ClientError as error:
            raise without_internals(error) from error.__cause__
        finally:
            if opened is not None:
                await opened.close()

    async def _take(self, step: Step, max_concurrency: int) -> Any:
        if isinstance(step, Ask):
            return await self.send(step.request, timeout=step.timeout, deadline=step.deadline, patience=step.patience)
        if isinstance(step, Wait):
            return await self.clock.async_sleep(step.seconds)
        if isinstance(step, LocalWork):
            return await _in_thread(step.work)
        assert isinstance(step, Sequence), "the other steps are for streams"
        return await self._together(step, max_concurrency)

    async def _together(self, asked: Sequence[Ask], max_concurrency: int) -> list[Any]:
        """Return the result of each call, or its error."""
        import anyio

        results: list[Any] = [None] * len(asked)
        places = anyio.CapacityLimiter(max_concurrency)

        async def send(index: int, ask: Ask) -> None:
            async with places:
                try:
                    results[index] = await self._take(ask, 1)
                except ClientError as error:
                    results[index] = error

        async with anyio.create_task_group() as group:
            for index, ask in enumerate(asked):
                group.start_soon(send, index, ask)
        return results


async def _in_thread(work: Callable[[], T]) -> T:
    import anyio.to_thread

    return await anyio.to_thread.run_sync(work)
