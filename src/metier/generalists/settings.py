"""GeneralistSettings: which frontier model is compared with, how it is asked, and what that may cost."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class GeneralistSettings(BaseModel):
    """The [generalist] section of metier.toml. Keys are never settings: `api_key_env` names where the key is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["none", "replay", "openai", "gguf", "simulated"] = Field(
        "replay",
        description="none; replay (answers already recorded, costs nothing); openai (any OpenAI-compatible server); "
        "gguf (a local model file); simulated (made-up answers, for demos).",
    )
    model: str = Field("", description="Name of the model, as its server and the price list know it.")
    base_url: str = Field("", description="Address of an OpenAI-compatible server; empty means api.openai.com.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key; never the key.")
    path: str = Field("", description="File of recorded answers (replay: JSONL or CSV) or of the model (gguf).")
    prompt: str = Field(
        "",
        description="Instruction with {input}, and {labels} or {schema}; empty means the task's own prompt from the "
        "traffic, else a plain one.",
    )
    shots: int = Field(
        0, ge=0, le=16, description="Worked examples shown before every item: drawn once from train, the same for all."
    )
    max_concurrency: int = Field(8, ge=1, le=256, description="Most calls under way at once.")
    timeout_s: float = Field(60.0, gt=0, description="Seconds one call may take.")
    max_retries: int = Field(
        5, ge=0, le=20, description="Further attempts after a call that failed for a passing reason."
    )
    budget_usd: float = Field(
        10.0,
        ge=0,
        description="Most US dollars the answers for one task may cost, over all runs; the rest is not asked.",
    )
    max_output_tokens: int = Field(512, ge=1, description="Most tokens an answer may have, thinking included.")
    context_tokens: int = Field(
        8192, ge=256, le=1_048_576, description="Most tokens of prompt and answer together (gguf)."
    )
    threads: int = Field(0, ge=0, le=1024, description="Cores that answer (gguf); 0 means all but one.")
    input_usd_per_million: float | None = Field(
        None, ge=0, description="Price of a million input tokens; not set means the list price of the model."
    )
    output_usd_per_million: float | None = Field(
        None, ge=0, description="Price of a million output tokens; not set means the list price of the model."
    )
