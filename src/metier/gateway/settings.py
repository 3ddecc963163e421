"""The gateway's sections of metier.toml: [serve], [route] (also per task), [upstreams.NAME] and [models]."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ServeSettings(BaseModel):
    """[serve]: the process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1", description="Address to listen on; one that others can reach needs a key (metier key create)."
    )
    port: int = Field(8484, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=256, description="Processes that answer calls.")
    timeout_s: float = Field(600.0, gt=0, description="Seconds a call may take, retries and fallbacks included.")
    max_body_mb: float = Field(32.0, gt=0, description="Largest request body in MiB; a larger one is refused.")
    client_timeout_s: float = Field(
        20.0, gt=0, description="Seconds a client may pause while it sends its request or takes its answer."
    )
    drain_s: float = Field(
        30.0, ge=0, description="Seconds that calls under way have to finish when the gateway stops."
    )
    answers_at_once: int = Field(
        4, ge=1, le=64, description="Answers that a specialist that writes works at side by side; more calls wait."
    )
    specialist_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Cores a specialist that writes takes in each worker; 0: the machine's but one, among the workers.",
    )
    cors_origins: tuple[str, ...] = Field((), description="Origins of web pages that may call; none by default.")
    redact_pii: bool = Field(
        False, description="Take names, addresses and numbers out of traces as well as secrets (needs the 'pii' extra)."
    )
    log: Literal["json", "text", "off"] = Field("json", description="Form of the log lines on stderr.")


class RouteSettings(BaseModel):
    """[route], and [tasks.NAME.route] for one task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["capture", "shadow", "route"] = Field(
        "capture",
        description="capture: only watch; shadow: the specialist answers too, unseen; route: keep what the certificate "
        "lets it keep.",
    )
    rollout: float = Field(
        100.0, ge=0, le=100, description="Percentage of a task's calls that the specialist may keep."
    )
    audit_share: float = Field(
        0.02, ge=0, le=1, description="Share of kept answers that the frontier model answers too, to measure the error."
    )
    audit_allowance: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="How often the frontier model itself is wrong: disagreements up to alpha plus this do not revoke.",
    )
    new_wordings: Literal["escalate", "keep"] = Field(
        "escalate",
        description="Calls whose prompt means the task's but is worded anew: escalate, or let the policy decide.",
    )
    answer_timeout_s: float = Field(
        20.0,
        gt=0,
        description="Seconds to wait for a specialist that writes, its queue included; then the call escalates.",
    )
    max_waiting: int = Field(
        32, ge=0, description="Calls that may wait for a specialist that writes; further ones escalate at once."
    )


class UpstreamSettings(BaseModel):
    """[upstreams.NAME]: one OpenAI-compatible server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field("https://api.openai.com/v1", description="Address up to and including /v1.")
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key; never the key. Empty: the client's own key is passed on.",
    )
    models: tuple[str, ...] = Field(
        (),
        description="Models it serves, * as wildcard; none listed means any model. The first upstream that fits is used.",
    )
    connect_timeout_s: float = Field(5.0, gt=0, description="Seconds to connect.")
    first_byte_timeout_s: float = Field(120.0, gt=0, description="Seconds until the answer begins.")
    idle_timeout_s: float = Field(60.0, gt=0, description="Seconds that a stream may pause.")
    max_retries: int = Field(2, ge=0, le=10, description="Further attempts at this upstream after a passing failure.")
    max_connections: int = Field(4000, ge=1, description="Connections held open at most; further calls wait.")
    breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which it is left alone for a while (circuit breaker)."
    )
    breaker_reset_s: float = Field(10.0, gt=0, description="Seconds until a call tries it again.")
    input_usd_per_million: float | None = Field(
        None, ge=0, description="Price of a million input tokens; not set means the list price of the model."
    )
    output_usd_per_million: float | None = Field(
        None, ge=0, description="Price of a million output tokens; not set means the list price of the model."
    )
