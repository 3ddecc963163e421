"""What the client is told when an upstream gives no answer, in OpenAI's shape and without addresses or keys."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metier.gateway.errors import ApiError


@dataclass(eq=False)
class Failure(Exception):
    """An attempt without an answer. `counts`: the upstream's fault, so that its breaker hears of it."""

    error: ApiError
    counts: bool = True

    def __post_init__(self) -> None:
        super().__init__(self.error.message)


def unknown_model(model: str) -> ApiError:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found")


def unreachable(upstream: str, why: str) -> ApiError:
    return ApiError(502, f"Upstream {upstream!r} could not be reached: {why}.", "api_error", "upstream_unreachable")


def broken(upstream: str, why: str) -> ApiError:
    return ApiError(502, f"Upstream {upstream!r} broke off its answer: {why}.", "api_error", "upstream_broken")


def timed_out(upstream: str, what: str) -> ApiError:
    return ApiError(504, f"Upstream {upstream!r} took too long: {what}.", "timeout_error", "upstream_timeout")


def out_of_time() -> ApiError:
    return ApiError(504, "The call's time was over before an upstream was asked.", "timeout_error", "upstream_timeout")


def resting(upstream: str, wait_s: float) -> ApiError:
    """The breaker is open for `wait_s` more seconds."""
    message = f"Upstream {upstream!r} has failed repeatedly and is left alone for a while."
    headers = (("retry-after", str(max(1, math.ceil(wait_s)))),)
    return ApiError(503, message, "api_error", "upstream_unavailable", headers=headers)


def missing_key(upstream: str, variable: str) -> ApiError:
    message = (
        f"The gateway has no key for upstream {upstream!r}: set the environment variable {variable} "
        f'(or api_key_env = "" to pass the client\'s own key on) and restart it.'
    )
    return ApiError(500, message, "api_error", "upstream_key_missing")
