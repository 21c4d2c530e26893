"""Carry out what exchanges and listings decide: the thin shells that send, wait and run things side by side."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import Config, Timeout
from synapse_sdk.clients.agent._session.job_follow import JobPoller, LogFollower
from synapse_sdk.clients.agent._session.retry import CLOCK, AgentFeatures, Clock, Send, exchange
from synapse_sdk.clients.agent._transport.transport import AsyncTransport, Transport
from synapse_sdk.exceptions import ClientError

T = TypeVar("T")
Steps = Generator[Request | Sequence[Request], Any, T]
"""A method that takes several calls: yields one, or some to be made side by side, and is sent what they gave."""


class _Session:
    """What both sessions know of themselves."""

    config: Config
    _chance: Clock

    def tail(self, job_id: str, deadline: float | None) -> LogFollower:
        """Return what follows a job's log on this session."""
        config = self.config.adapted(deadline=deadline)
        return LogFollower(job_id, deadline=config.deadline, max_retries=config.max_retries, chance=self._chance)

    def waiting(self, job_id: str, deadline: float | None) -> JobPoller:
        """Return what waits for a job on this session."""
        return JobPoller(job_id, deadline=self.config.adapted(deadline=deadline).deadline, chance=self._chance)


class Session(_Session):
    """Sends calls, one thread at a time waiting for each."""

    def __init__(
        self,
        config: Config,
        transport: Transport,
        *,
        agent: AgentFeatures | None = None,
        chance: Clock = CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.config = config
        self.transport = transport
        self._agent = agent or AgentFeatures()
        self._chance = chance
        self._sleep = sleep

    def adapted(self, config: Config) -> Session:
        """Return a session with other settings on the same connections."""
        return Session(config, self.transport, agent=self._agent, chance=self._chance, sleep=self._sleep)

    def send(
        self,
        call: Request,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        patience: float | None = None,
    ) -> Any:
        """Send a call, again where that is right, and return what its answer holds."""
        config = self.config
        if timeout is not None or deadline is not None:
            config = config.adapted(timeout=timeout, deadline=deadline)
        effects = exchange(call, config, self._agent, self._chance, patience=patience)
        reply = None
        try:
            while True:
                effect = effects.send(reply)
                reply = self.transport.carry(effect) if isinstance(effect, Send) else self._sleep(effect.seconds)
        except StopIteration as stop:
            return stop.value

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    def drive(self, steps: Steps[T], max_concurrency: int = 1) -> T:
        """Make the calls of a method, those that it yields together side by side, and return its result."""
        reply = None
        try:
            while True:
                wanted = steps.send(reply)
                reply = self.send(wanted) if isinstance(wanted, Request) else self._together(wanted, max_concurrency)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _together(self, calls: Sequence[Request], max_concurrency: int) -> list[Any]:
        """Return what each call gave, or the error instead."""
        with ThreadPoolExecutor(max_concurrency, thread_name_prefix="synapse-sdk") as pool:
            return list(pool.map(self._sent_or_error, calls))

    def _sent_or_error(self, call: Request) -> Any:
        try:
            return self.send(call)
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
        chance: Clock = CLOCK,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self.config = config
        self.transport = transport
        self._agent = agent or AgentFeatures()
        self._chance = chance
        self._sleep = sleep or _sleep

    def adapted(self, config: Config) -> AsyncSession:
        """Return a session with other settings on the same connections."""
        return AsyncSession(config, self.transport, agent=self._agent, chance=self._chance, sleep=self._sleep)

    async def send(
        self,
        call: Request,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        patience: float | None = None,
    ) -> Any:
        """Send a call, again where that is right, and return what its answer holds."""
        config = self.config
        if timeout is not None or deadline is not None:
            config = config.adapted(timeout=timeout, deadline=deadline)
        effects = exchange(call, config, self._agent, self._chance, patience=patience)
        reply = None
        try:
            while True:
                effect = effects.send(reply)
                reply = await (
                    self.transport.carry(effect) if isinstance(effect, Send) else self._sleep(effect.seconds)
                )
        except StopIteration as stop:
            return stop.value

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await self._sleep(seconds)

    async def drive(self, steps: Steps[T], max_concurrency: int = 1) -> T:
        """Make the calls of a method, those that it yields together side by side, and return its result."""
        reply = None
        try:
            while True:
                wanted = steps.send(reply)
                if isinstance(wanted, Request):
                    reply = await self.send(wanted)
                else:
                    reply = await self._together(wanted, max_concurrency)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _together(self, calls: Sequence[Request], max_concurrency: int) -> list[Any]:
        """Return what each call gave, or the error instead."""
        import anyio

        results: list[Any] = [None] * len(calls)
        places = anyio.CapacityLimiter(max_concurrency)

        async def send(index: int, call: Request) -> None:
            async with places:
                try:
                    results[index] = await self.send(call)
                except ClientError as error:
                    results[index] = error

        async with anyio.create_task_group() as group:
            for index, call in enumerate(calls):
                group.start_soon(send, index, call)
        return results


async def _sleep(seconds: float) -> None:
    import anyio

    await anyio.sleep(seconds)
