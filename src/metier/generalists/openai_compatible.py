"""openai: any OpenAI-compatible server, with bounded concurrency, retries, a budget and answers kept on disk."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from metier.artefacts.tasks import OutputKind
from metier.errors import GeneralistFailed
from metier.generalists.budget import Budget, Ledger, most_input_tokens
from metier.generalists.cache import AnswerCache, open_cache, request_key
from metier.generalists.formats import Mode, modes_for, response_format, shown
from metier.generalists.prices import ListPrice
from metier.generalists.prompts import Message, messages_for
from metier.generalists.protocol import GeneralistAnswer, Question, not_asked
from metier.generalists.reading import check_schemas, read_answer
from metier.generalists.replies import Reply, read_body, read_status
from metier.generalists.retries import LONGEST_WAIT_S, backoff_s, retry_after_s
from metier.generalists.shots import Shot
from metier.progress import Progress, silent

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"
_NO_KEY = "no-key"
# So many failed attempts in a row, before a single success, mean that the server is not there or not what we think.
_HOPELESS_ATTEMPTS = 40


@dataclass(frozen=True)
class OpenAICompatible:
    """Asks `model` at `base_url`. The key is never shown: not in repr, logs, errors, answers or the cache.

    `shots` are worked examples shown before every question that has none of its own. Records are asked for by their
    schema; see `metier.generalists.formats` for what a server gets that refuses that.
    """

    model: str
    price: ListPrice
    key: str = field(repr=False)
    base_url: str = field(default="", repr=False)
    prompt: str = ""
    max_concurrency: int = 8
    timeout_s: float = 60.0
    max_retries: int = 5
    budget_usd: float = 10.0
    max_output_tokens: int = 512
    cache_path: Path | None = None
    backoff_first_s: float = 0.5
    shots: tuple[Shot, ...] = ()
    caveat: str = ""
    _ledger: Ledger = field(default_factory=Ledger, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        host = urlsplit(self.server).hostname
        return self.model if self.server == OPENAI_URL else f"{self.model} at {host}"

    @property
    def condition(self) -> str:
        return f"over the network, at most {self.max_concurrency} calls at once, waiting for retries left out"

    @property
    def server(self) -> str:
        """The address without user, password or a slash at its end."""
        parts = urlsplit(self.base_url or OPENAI_URL)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")

    def answer(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[GeneralistAnswer]:
        """One answer a question; "not asked" once the budget is used up. See Generalist."""
        return _run(self._answer_all(questions, progress))

    async def _answer_all(self, questions: Sequence[Question], progress: Progress) -> list[GeneralistAnswer]:
        from openai import AsyncOpenAI

        check_schemas(questions)
        requests = [_request(self, question) for question in questions]
        keys = {request.question.id: request.key for request in requests}
        with open_cache(self.cache_path) as cache:
            answers = cache.get(keys)
            todo = list({request.key: request for request in requests if request.question.id not in answers}.values())
            with self._ledger.budget(
                self.budget_usd, keys.values(), cache, is_kept=self.cache_path is not None
            ) as budget:
                client = AsyncOpenAI(
                    api_key=self.key, base_url=self.base_url or OPENAI_URL, max_retries=0, timeout=self.timeout_s
                )
                async with client:
                    asking = _Asking(self, client, cache, budget, hopeful=bool(answers))
                    bought = await asking.ask_all(todo, len(answers), len(requests), progress)
        by_key = {request.key: answer for request, answer in zip(todo, bought, strict=True)}
        return [
            read_answer(
                request.question,
                answers.get(request.question.id) or replace(by_key[request.key], id=request.question.id),
            )
            for request in requests
        ]


def read_key(environ: Mapping[str, str], variable: str, base_url: str) -> str:
    """The key from the environment. A server of the user's own may need none.

    Raises GeneralistFailed where one is missing.
    """
    key = environ.get(variable, "").strip()
    if key:
        return key
    if base_url:
        return _NO_KEY
    raise GeneralistFailed(
        f"environment variable {variable} is not set; put the key of the API there (never in metier.toml)"
    )


@dataclass(frozen=True)
class _Request:
    """What is asked: `parameters` besides the messages, and the key of both in the cache. The key does not tell how the
    form of the answer is demanded, so that an answer stays bought when a server learns or unlearns a way."""

    question: Question
    messages: list[Message]
    parameters: Mapping[str, Any]
    key: str

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The schema that the answer is to fit; None where none is demanded."""
        return (self.question.output_schema or None) if self.question.kind is OutputKind.FIELDS else None


class _Asking:
    """One run of calls: what is shared between the calls under way."""

    def __init__(
        self,
        settings: OpenAICompatible,
        client: AsyncOpenAI,
        cache: AnswerCache,
        budget: Budget,
        *,
        hopeful: bool,
    ) -> None:
        self._settings = settings
        self._client = client
        self._cache = cache
        self._budget = budget
        self._rng = random.Random()
        self._refused: set[Mode] = set()
        self._accepted: set[Mode] = set()
        self._not_before = 0.0
        self._hopeful = hopeful
        self._n_lost = 0

    async def ask_all(
        self, requests: Sequence[_Request], done: int, total: int, progress: Progress
    ) -> list[GeneralistAnswer]:
        answers: list[GeneralistAnswer | None] = [None] * len(requests)
        queue = iter(enumerate(requests))
        description = f"Asking {self._settings.model}"
        progress(description, done, total)

        async def work() -> None:
            nonlocal done
            for place, request in queue:
                answers[place] = await self._ask(request)
                done += 1
                progress(description, done, total)

        workers = [asyncio.create_task(work()) for _ in range(min(self._settings.max_concurrency, len(requests)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [answer for answer in answers if answer is not None]

    async def _ask(self, request: _Request) -> GeneralistAnswer:
        """The answer, in the most binding form that the server takes. A form is given up for the whole run only when
        another one was taken in its place: else it is the request itself that was refused."""
        answer = not_asked(request.question)
        tried: list[Mode] = []
        for mode in self._modes(request):
            answer, reply = await self._ask_in(request, mode)
            if reply is None or not reply.bad_form or mode in self._accepted:
                break
            tried.append(mode)
        if answer.text is not None and request.schema:
            self._accepted.add(mode)
            self._refused.update(tried)
        return answer

    def _modes(self, request: _Request) -> tuple[Mode, ...]:
        if request.schema is None:
            return ("plain",)
        return tuple(mode for mode in modes_for(request.schema) if mode not in self._refused)

    async def _ask_in(self, request: _Request, mode: Mode) -> tuple[GeneralistAnswer, Reply | None]:
        """The answer and the last reply; None where the budget did not allow to ask."""
        answer, reply = not_asked(request.question), None
        for attempt in range(1, self._settings.max_retries + 2):
            await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
            bought = await self._attempt(request, mode, attempt)
            if bought is None:
                return answer, None
            answer, reply = bought
            if not reply.passing:
                return answer, reply
            if attempt <= self._settings.max_retries:
                await self._wait(attempt, reply)
        return answer, reply

    async def _attempt(self, request: _Request, mode: Mode, attempt: int) -> tuple[GeneralistAnswer, Reply] | None:
        """One paid call, kept at once; None where the budget does not allow it."""
        price = self._settings.price
        worst = price.cost_usd(most_input_tokens(request.messages, request.schema), self._settings.max_output_tokens)
        if not await self._budget.reserve(worst):
            return None
        row = self._cache.start_attempt(request.key, worst)
        cost: float | None = worst
        try:
            started = time.perf_counter()
            reply = await self._call(request, mode)
            latency_s = time.perf_counter() - started
            cost = self._cost(reply)
            answer = GeneralistAnswer(
                request.question.id,
                reply.text,
                "cut off" if reply.hit_limit else reply.failure,
                reply.input_tokens,
                reply.output_tokens,
                latency_s if reply.final else None,
                cost,
                n_attempts=attempt,
            )
            self._cache.settle_attempt(row, worst if cost is None else cost, reply.failure or "answered")
            if reply.final:
                self._cache.keep(request.key, self._settings.model, answer)
        finally:
            await self._budget.settle(worst, worst if cost is None else cost)
        self._check_hope(reply)
        return answer, reply

    async def _call(self, request: _Request, mode: Mode) -> Reply:
        import httpx2
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        try:
            # The client's own timeout is between bytes; a server that trickles would never meet it.
            async with asyncio.timeout(self._settings.timeout_s):
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=self._settings.model, **_body(request, mode)
                )
            return read_body(self._without_key(raw.http_response.text))
        except (TimeoutError, APITimeoutError):
            return Reply(failure="timeout", passing=True)
        except APIStatusError as error:
            return self._status(error)
        except APIConnectionError as error:
            return Reply(
                failure="connection", passing=True, billed=not isinstance(error.__cause__, httpx2.ConnectError)
            )
        except (OpenAIError, ValueError):
            return Reply(failure="unreadable reply", passing=True)

    def _status(self, error: APIStatusError) -> Reply:
        message = self._without_key(str(error.message))
        return read_status(
            error.status_code, error.code, message, retry_after_s(error.response.headers), LONGEST_WAIT_S
        )

    def _check_hope(self, reply: Reply) -> None:
        if reply.fatal:
            raise GeneralistFailed(
                f"{self._settings.name}: {reply.fatal}. Answers bought so far are kept; the next run goes on from there."
            )
        if reply.final:
            self._hopeful, self._n_lost = True, 0
        elif reply.failure != "rate limited":
            self._n_lost += 1
        if not self._hopeful and self._n_lost >= _HOPELESS_ATTEMPTS:
            raise GeneralistFailed(
                f"{self._settings.name}: {self._n_lost} calls to {self._settings.server} failed and none succeeded, the "
                f"last with {reply.failure!r}{f' ({reply.said})' if reply.said else ''}; check base_url and model"
            )

    async def _wait(self, attempt: int, reply: Reply) -> None:
        seconds = max(backoff_s(attempt, self._settings.backoff_first_s, self._rng), reply.wait_s or 0.0)
        if reply.failure == "rate limited":
            # All calls share the limit: none may start before the server is ready.
            self._not_before = max(self._not_before, time.monotonic() + (reply.wait_s or 0.0))
        await asyncio.sleep(seconds)

    def _cost(self, reply: Reply) -> float | None:
        if not reply.billed:
            return 0.0
        if reply.input_tokens is None or reply.output_tokens is None:
            free = self._settings.price.cost_usd(1, 1) == 0.0
            return 0.0 if free else None
        return self._settings.price.cost_usd(reply.input_tokens, reply.output_tokens)

    def _without_key(self, text: str) -> str:
        return text if self._settings.key == _NO_KEY else text.replace(self._settings.key, "[key]")


def _request(settings: OpenAICompatible, question: Question) -> _Request:
    messages = messages_for(question, settings.prompt, settings.shots)
    parameters: dict[str, Any] = {_limit_name(settings.server): settings.max_output_tokens}
    if question.temperature is not None:
        parameters["temperature"] = question.temperature
    shaped = dict(parameters)
    if question.kind is not OutputKind.LABEL:
        shaped |= {"kind": question.kind.value, "schema": question.output_schema}
    if question.sample:
        shaped["sample"] = question.sample
    return _Request(question, messages, parameters, request_key(settings.server, settings.model, messages, shaped))


def _body(request: _Request, mode: Mode) -> dict[str, Any]:
    """The request's body, less the model."""
    if request.schema is None:
        return {"messages": request.messages, **request.parameters}
    form = response_format(mode, request.schema)
    messages = shown(request.messages, request.schema, mode)
    return {"messages": messages, **request.parameters, **({"response_format": form} if form else {})}


def _limit_name(server: str) -> str:
    """OpenAI's reasoning models refuse max_tokens; most other servers know only that."""
    return "max_completion_tokens" if server == OPENAI_URL else "max_tokens"


def _run(work: Coroutine[Any, Any, list[GeneralistAnswer]]) -> list[GeneralistAnswer]:
    """Run to the end, also from inside a running event loop (a notebook), where asyncio.run is not allowed."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
