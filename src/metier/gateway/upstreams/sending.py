"""Sends a call to the upstreams that serve its model, until one gives an answer worth passing on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Literal

from metier.gateway.errors import ApiError
from metier.gateway.protocols import Header
from metier.gateway.upstreams import failures, retrying
from metier.gateway.upstreams.choice import Choice, Target
from metier.gateway.upstreams.endpoint import Endpoint, Outgoing
from metier.gateway.upstreams.failures import Failure
from metier.gateway.upstreams.headers import to_upstream
from metier.gateway.upstreams.pricing import Prices
from metier.gateway.upstreams.reply import Reply
from metier.gateway.upstreams.retrying import Verdict
from metier.gateway.upstreams.splicing import with_model


class PooledUpstreams:
    """gateway.protocols.Upstreams over pooled connections; see docs/upstreams.md for what is retried and what counts."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        choice: Choice,
        prices: Prices,
        *,
        clock: Callable[[], float],
        rng: Random,
    ) -> None:
        self._endpoints = endpoints
        self._choice = choice
        self._clock = clock
        self._rng = rng
        self._prices = prices

    async def send(
        self,
        path: str,
        body: bytes,
        model: str | None,
        *,
        headers: Sequence[Header],
        is_stream: bool,  # noqa: ARG002 (the answer's own content type tells)
        deadline: float,
        method: Literal["GET", "POST"] = "POST",
    ) -> Reply:
        targets = self._choice.targets(model)
        if not targets:
            raise failures.unknown_model(str(model))
        sent_headers, authorization = to_upstream(headers)
        call = Outgoing(method, path, sent_headers, authorization, deadline)
        return await _Sending(self._endpoints, call, self._clock, self._rng).run(targets, body, model)

    def price_usd(self, upstream: str, model: str | None, input_tokens: int, output_tokens: int) -> float | None:
        """What a call costs, None where that is not known; at the first upstream that serves the model where `upstream` is
        empty."""
        if not upstream:
            targets = self._choice.targets(model)
            if not targets:
                return None
            upstream, model = targets[0].upstream, targets[0].model or model
        return self._prices.price_usd(upstream, model, input_tokens, output_tokens)

    def model_names(self) -> Sequence[str]:
        return self._choice.model_names

    def states(self) -> Mapping[str, str]:
        return {name: str(endpoint.breaker.state) for name, endpoint in self._endpoints.items()}

    def missing_keys(self) -> Mapping[str, str]:
        """Upstreams that cannot be asked, with the environment variable that should hold their key."""
        return {name: each.options.api_key_env for name, each in self._endpoints.items() if each.is_keyless}

    async def close(self) -> None:
        for endpoint in self._endpoints.values():
            await endpoint.close()


class _Sending:
    """One call on its way through its targets: `own` is the last answer that an upstream gave itself, `error` what to
    say where none did."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], call: Outgoing, clock: Callable[[], float], rng: Random
    ) -> None:
        self._endpoints = endpoints
        self._call = call
        self._clock = clock
        self._rng = rng
        self._n_attempts = 0
        self._own: Reply | None = None
        self._error: ApiError | None = None

    async def run(self, targets: Sequence[Target], body: bytes, model: str | None) -> Reply:
        """The answer to pass on. Raises ApiError where there is none."""
        try:
            for index, target in enumerate(targets):
                found = await self._try(target, body, model, has_fallback=index < len(targets) - 1)
                if found is not None:
                    await self._hold(None)
                    return found
        except BaseException:
            await self._hold(None)
            raise
        if self._own is None:
            raise self._error or failures.out_of_time()
        self._own.attempts = self._n_attempts
        return self._own

    async def _try(self, target: Target, body: bytes, model: str | None, has_fallback: bool) -> Reply | None:
        """An answer of this target's to pass on, or None."""
        endpoint = self._endpoints[target.upstream]
        if endpoint.is_keyless:
            self._error = self._error or failures.missing_key(endpoint.name, endpoint.options.api_key_env)
            return None
        if target.model is not None:
            body = with_model(body, target.model)
            model = target.model
        for attempt in range(1, endpoint.options.max_retries + 2):
            reply = await self._attempt(endpoint, body, model)
            advice = {} if reply is None else _advice(reply)
            if reply is not None:
                decided = retrying.verdict(reply.status, advice, endpoint.has_own_key)
                if decided is Verdict.PASS_ON:
                    return reply
                await self._hold(reply)
                if decided is Verdict.NEXT:
                    return None
            if attempt > endpoint.options.max_retries or endpoint.breaker.wait_s:
                return None
            if not await self._pause(attempt, advice, has_fallback):
                return None
        return None

    async def _attempt(self, endpoint: Endpoint, body: bytes, model: str | None) -> Reply | None:
        """An upstream's own answer, or None; the breaker and `error` are told of what went wrong."""
        breaker = endpoint.breaker
        if self._clock() >= self._call.deadline:
            return None
        ticket = breaker.enter()
        if ticket is None:
            self._error = self._error or failures.resting(endpoint.name, breaker.wait_s)
            return None
        self._n_attempts += 1
        try:
            reply = await endpoint.attempt(self._call, body, model, ticket)
        except Failure as failure:
            self._error = failure.error
            if failure.counts:
                breaker.failed(ticket)
            else:
                breaker.released(ticket)
            return None
        except BaseException:
            breaker.released(ticket)
            raise
        reply.attempts = self._n_attempts
        reply.answered()
        return reply

    async def _pause(self, attempt: int, advice: Mapping[str, str], has_fallback: bool) -> bool:
        """Wait before the next attempt; False where there is no time for one."""
        wait_s = retrying.wait_s(attempt, advice, self._rng, has_fallback)
        if wait_s is None or self._clock() + wait_s >= self._call.deadline:
            return False
        await asyncio.sleep(wait_s)
        return True

    async def _hold(self, reply: Reply | None) -> None:
        """Keep this answer in case nothing better comes, and let go of the one before."""
        if self._own is not None:
            await self._own.close()
        self._own = reply


def _advice(reply: Reply) -> dict[str, str]:
    """The headers that may say whether and when to ask again; {} for a success, which needs none."""
    if reply.status < 400:
        return {}
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
