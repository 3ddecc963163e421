"""The answers to callers that are turned away, in OpenAI's words. None holds any part of what the caller sent."""

from __future__ import annotations

import math

from metier.gateway.errors import ApiError

_HOW = "Send it as 'Authorization: Bearer mtr_…'; 'metier key create NAME' on the gateway's machine makes one."


def no_key() -> ApiError:
    return _unauthorised(f"This gateway needs a key. {_HOW}", "missing_api_key")


def malformed_key() -> ApiError:
    return _unauthorised(f"The Authorization header holds no key of this gateway. {_HOW}", "invalid_api_key")


def wrong_key() -> ApiError:
    """For unknown ids, wrong secrets and revoked keys alike: a stranger learns nothing from the difference."""
    return _unauthorised(
        "The key is not valid: it was never made, or it was revoked. 'metier key list' shows those that are.",
        "invalid_api_key",
    )


def not_loopback() -> ApiError:
    return ApiError(
        403,
        "This gateway has no keys, so that only its own machine may call it. Make a key with 'metier key create NAME' and "
        "send it as 'Authorization: Bearer mtr_…'.",
        "permission_error",
        "loopback_only",
    )


def foreign_page() -> ApiError:
    return ApiError(
        403,
        "This gateway has no keys, and a web page called it, or a program by another name than localhost or an address. "
        "Make a key with 'metier key create NAME', or name the page's origin in cors_origins of [serve].",
        "permission_error",
        "origin_not_allowed",
    )


def keys_unknown() -> ApiError:
    return ApiError(
        503,
        "The gateway's database cannot be reached, and its keys have not been read yet. Try again in a few seconds.",
        "api_error",
        "keys_unavailable",
        headers=(("retry-after", "2"),),
    )


def too_many_calls(limit: int, wait_s: float, full_s: float) -> ApiError:
    """`wait_s`: seconds until one more call is allowed; `full_s`: until the whole burst is."""
    return ApiError(
        429,
        f"Rate limit reached for requests per minute of this key: limit {limit}. Try again in {wait_s:.3f} s.",
        "rate_limit_error",
        "rate_limit_exceeded",
        headers=(
            ("retry-after", str(max(1, math.ceil(wait_s)))),
            ("retry-after-ms", str(max(1, math.ceil(wait_s * 1000)))),
            ("x-ratelimit-limit-requests", str(limit)),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", f"{full_s:.3f}s"),
        ),
    )


def budget_spent(budget_usd: float, wait_s: float) -> ApiError:
    """`wait_s`: seconds until the next month begins. Clients are told not to try again on their own."""
    return ApiError(
        429,
        f"You exceeded your current quota: this key's budget of {budget_usd:g} USD for this month (UTC) is spent.",
        "insufficient_quota",
        "insufficient_quota",
        headers=(("retry-after", str(max(1, math.ceil(wait_s)))), ("x-should-retry", "false")),
    )


def _unauthorised(message: str, code: str) -> ApiError:
    return ApiError(401, message, "invalid_request_error", code, headers=(("www-authenticate", "Bearer"),))
