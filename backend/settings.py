"""Everything that can be set, read once from the environment; an unknown `VLM_JUDGE_` name is an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.core.choices import EngineName, Explain
from backend.errors import RubricError, SettingsError
from backend.interfaces import rubric_file

PREFIX = "VLM_JUDGE_"


class Settings(BaseSettings):
    """The product's settings. Secrets never show in `repr`, logs or answers."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, populate_by_name=True, extra="forbid")

    engine: EngineName = "demo"
    """Which judge answers: the embedded one, a Qwen-VL run here or on servers, or canned answers for tests."""
    model: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    """Model id or folder for `engine=local`; for `engine=remote` the name that the servers give it."""
    revision: str | None = None
    """Branch, tag or commit of the model; None is the default branch."""
    rubric: Path | None = None
    """A rubric file, or the name of a ready one; None is the engine's own, or the ready one for the project's kind."""
    examples: Path | None = None
    """A file of examples that people decided on, shown to the judge before every sample; None shows none."""
    max_pixels: Annotated[int, Field(ge=28 * 28)] = 1280 * 28 * 28
    """Largest area of an image as the model sees it, in pixels; larger ones are shrunk."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """Where the model runs; `auto` takes a GPU when there is one."""
    batch_size: Annotated[int | None, Field(ge=1, le=256)] = None
    """Samples that are judged at once; None is as many as take about two seconds."""
    compile: bool | None = None
    """Have torch fuse the local model's layers, which takes half a minute at the start; None does so on a GPU where it
    can."""
    explain: Explain = "flagged"
    """For which samples boxes and a corrected text are written: those that are doubtful or found wanting, all, none."""
    reliance: bool = False
    """Judge every sample once more behind a blank image, and flag those whose verdict is the same without it."""

    servers: Annotated[tuple[str, ...], NoDecode, Field(repr=False)] = ()
    """Addresses of the servers for `engine=remote`, comma separated."""
    api_key: SecretStr | None = None
    """What these servers ask for as a bearer token."""
    dialect: Literal["auto", "vllm", "openai", "sglang", "decisions"] = "auto"
    """How they are asked; `auto` finds out, but never takes `decisions`, where the server words the questions."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 64
    """Most requests that one server gets at a time; fewer when it says that it is too much."""
    request_deadline_s: Annotated[float, Field(gt=0)] = 60.0
    """A question that has no answer by then, with all retries, stays unscored."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9090
    predict_deadline_s: Annotated[float, Field(gt=0, le=95)] = 60.0
    """A prediction request is answered by then; what is not judged by then is there when asked for again."""
    max_request_bytes: Annotated[int, Field(ge=1024)] = 256 * 2**20
    queue_limit: Annotated[int, Field(ge=1)] = 20_000
    """Most tasks of prediction requests that wait at a time; a request beyond it is told to come back later."""
    basic_auth_user: str | None = None
    """Name and password that Label Studio must give, as set on its connection; must be set to listen beyond this
    machine."""
    basic_auth_password: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    """Webhooks that have no basic authorization must come to `/webhook/<this>`."""
    log_format: Literal["text", "json"] = "text"
    """How the server writes its log: a sentence a line, or a JSON object a line."""

    store: Annotated[str, Field(repr=False)] = ".vlm-judge.sqlite"
    """Where verdicts and jobs are kept: a SQLite file, or `postgresql://...` for several backends that share them."""

    label_studio_url: Annotated[str | None, Field(validation_alias="LABEL_STUDIO_URL")] = None
    label_studio_api_key: Annotated[SecretStr | None, Field(validation_alias="LABEL_STUDIO_API_KEY")] = None
    hf_token: Annotated[SecretStr | None, Field(validation_alias="HF_TOKEN")] = None
    annotator_key: SecretStr | None = None
    """What exports make annotators' pseudonyms from, any secret text; None takes the Label Studio token, and whoever
    changes that renames all people in the next export."""

    image_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts on private networks that images may come from, comma separated."""
    image_cache_bytes: Annotated[int, Field(ge=0)] = 256 * 2**20
    """Memory for images that were fetched, so that what many tasks show is fetched once; 0 keeps none."""
    max_image_bytes: Annotated[int, Field(ge=1)] = 50 * 2**20
    max_image_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    fetch_timeout_s: Annotated[float, Field(gt=0)] = 20.0

    @field_validator("rubric", mode="before")
    @classmethod
    def _found(cls, value: object) -> object:
        named = str(value) if value else ""
        if not named or Path(named).is_file() or Path(named).suffix in (".yaml", ".yml") or Path(named).name != named:
            return value or None
        try:
            return rubric_file(named)
        except RubricError as exc:
            raise ValueError(str(exc)) from exc

    @field_validator("store", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, Path) else value

    @field_validator(
        "basic_auth_user", "basic_auth_password", "webhook_secret", "examples", "annotator_key", mode="before"
    )
    @classmethod
    def _unset(cls, value: object) -> object:
        return value or None  # an empty variable is one that is not set

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.basic_auth_user is None) != (self.basic_auth_password is None):
            raise ValueError("VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD go together; set both")
        return self

    @field_validator("image_hosts", "servers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def variable_of(name: str) -> str:
    """The environment variable that sets a field."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias) if alias else f"{PREFIX}{name.upper()}"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` that are not None win. Raises SettingsError naming what is wrong."""
    known = {variable_of(name) for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as exc:
        raise SettingsError("; ".join(_reason(error) for error in exc.errors())) from exc


def _reason(error: ErrorDetails) -> str:
    if not error["loc"]:  # about several together; its message names them
        return error["msg"].removeprefix("Value error, ")
    name = str(error["loc"][0])
    return f"{variable_of(name) if name in Settings.model_fields else name}: {error['msg']}"
