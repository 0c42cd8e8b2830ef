"""Everything that can be set, read once.

An option of the command line wins over the environment, that over the file `vlm-judge.toml`, and that over the default.
An unknown name is an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.core.choices import EngineName, Explain
from backend.errors import RubricError, SettingsError
from backend.interfaces import rubric_file
from backend.settings_file import file_of, nearest, read_file

PREFIX = "VLM_JUDGE_"
Source = Literal["option", "environment", "file", "default"]
NO_LABEL_STUDIO = (
    "no Label Studio is named; type: export LABEL_STUDIO_URL=http://127.0.0.1:8080 LABEL_STUDIO_API_KEY=..., with the "
    "key from its page Account & Settings > Personal Access Token; or have one started: vlm-judge demo"
)
"""What to type where neither environment nor file says which Label Studio is meant."""


class Settings(BaseSettings):
    """The product's settings. Secrets never show in `repr`, logs or answers."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, populate_by_name=True, extra="forbid")

    config_file: Annotated[Path | None, Field(validation_alias="VLM_JUDGE_CONFIG")] = None
    """A TOML file of these settings by their names, such as `engine = "local"`; None takes `vlm-judge.toml` of the
    current folder where there is one."""
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
    """The address that the backend listens on; `0.0.0.0` is every one of the machine."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9090
    """The port that the backend listens on; 0 takes a free one."""
    predict_deadline_s: Annotated[float, Field(gt=0, le=95)] = 60.0
    """A prediction request is answered by then; what is not judged by then is there when asked for again."""
    max_request_bytes: Annotated[int, Field(ge=1024)] = 256 * 2**20
    """Largest body of a request that is read; a larger one is answered with 413."""
    queue_limit: Annotated[int, Field(ge=1)] = 20_000
    """Most tasks of prediction requests that wait at a time; a request beyond it is told to come back later."""
    basic_auth_user: str | None = None
    """Name and password that Label Studio must give, as set on its connection; must be set to listen beyond this
    machine."""
    basic_auth_password: SecretStr | None = None
    """The password that goes with that name."""
    webhook_secret: SecretStr | None = None
    """Webhooks that have no basic authorization must come to `/webhook/<this>`."""
    log_format: Literal["text", "json"] = "text"
    """How the server writes its log: a sentence a line, or a JSON object a line."""

    store: Annotated[str, Field(repr=False)] = ".vlm-judge.sqlite"
    """Where verdicts and jobs are kept: a SQLite file, or `postgresql://...` for several backends that share them."""

    label_studio_url: Annotated[str | None, Field(validation_alias="LABEL_STUDIO_URL")] = None
    """Where Label Studio is, as this machine reaches it."""
    label_studio_api_key: Annotated[SecretStr | None, Field(validation_alias="LABEL_STUDIO_API_KEY")] = None
    """A token of Label Studio, of the old or the new kind, from its page "Account & Settings"."""
    hf_token: Annotated[SecretStr | None, Field(validation_alias="HF_TOKEN")] = None
    """A token of the Hugging Face Hub, for private models and datasets, and to push."""
    annotator_key: SecretStr | None = None
    """What exports make annotators' pseudonyms from, any secret text; None takes the Label Studio token, and whoever
    changes that renames all people in the next export."""

    image_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts on private networks that images may come from, comma separated."""
    image_cache_bytes: Annotated[int, Field(ge=0)] = 256 * 2**20
    """Memory for images that were fetched, so that what many tasks show is fetched once; 0 keeps none."""
    max_image_bytes: Annotated[int, Field(ge=1)] = 50 * 2**20
    """Largest file of an image that is fetched."""
    max_image_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    """Largest area of an image that is opened."""
    fetch_timeout_s: Annotated[float, Field(gt=0)] = 20.0
    """Longest time that the fetch of one image may take."""

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


@dataclass(frozen=True, slots=True)
class Given:
    """Settings, and by name where each of those that are not defaults came from."""

    settings: Settings
    sources: Mapping[str, Source]


def load_settings(**overrides: Any) -> Settings:
    """The settings; `overrides` that are not None win over environment and file. Raises SettingsError as below."""
    return read_settings(**overrides).settings


def read_settings(**overrides: Any) -> Given:
    """The settings and where they come from.

    Raises SettingsError naming the option, variable or key that is wrong or unknown, or the file that is.
    """
    options = {name: value for name, value in overrides.items() if value is not None}
    _refuse_unknown_variables()
    set_outside = {name.upper() for name in os.environ}
    variables = {name for name in Settings.model_fields if variable_of(name) in set_outside}
    file = file_of(options.get("config_file") or os.environ.get(variable_of("config_file")))
    in_file = read_file(file, tuple(Settings.model_fields), _secret_names()) if file else {}
    from_file = {name: value for name, value in in_file.items() if name not in variables | options.keys()}
    sources: dict[str, Source] = {name: "file" for name in from_file}
    sources.update({name: "environment" for name in variables})
    sources.update({name: "option" for name in options})
    try:
        settings = Settings(**{**from_file, **options, **({"config_file": file} if file else {})})
    except ValidationError as exc:
        raise SettingsError("; ".join(_reason(error, file, sources) for error in exc.errors())) from exc
    return Given(settings, sources)


def _refuse_unknown_variables() -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if not unknown:
        return
    meant = [nearest(name, known) for name in unknown]
    if all(meant):
        raise SettingsError(f"unknown setting {', '.join(unknown)}; did you mean {', '.join(map(str, meant))}?")
    raise SettingsError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def _secret_names() -> frozenset[str]:
    """Settings that hold a secret, or may: an address can have a password in it."""
    fields = Settings.model_fields
    return frozenset(name for name, field in fields.items() if SecretStr in get_args(field.annotation)) | {"store"}


def _reason(error: ErrorDetails, file: Path | None, sources: Mapping[str, Source]) -> str:
    said = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # about several together; its message names them
        return said
    named = str(error["loc"][0])
    name = next((name for name in Settings.model_fields if named in (name, variable_of(name))), named)
    if sources.get(name) == "file":
        return f"{file}, {name}: {said}"
    if name not in Settings.model_fields:
        return f"{name}: {said}"
    return f"{_option(name) if sources.get(name) == 'option' else variable_of(name)}: {said}"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
