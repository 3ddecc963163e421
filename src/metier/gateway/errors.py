"""Errors as OpenAI's API gives them, so that every client library understands them."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson


@dataclass(eq=False)
class ApiError(Exception):
    """An answer that is an error: `status` of HTTP, and the fields of OpenAI's error object.

    `type` is one of OpenAI's (invalid_request_error, authentication_error, permission_error, not_found_error,
    rate_limit_error, api_error, timeout_error), `code` a short machine-readable name. The message never holds a secret.
    """

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def body(self) -> bytes:
        """{"error": {"message", "type", "param", "code"}} as JSON."""
        fields = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return orjson.dumps({"error": fields})
