"""What Label Studio sends and is answered, checked and described by the same models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from backend.errors import VlmJudgeError

Body = TypeVar("Body", bound="Message")

MOST_PROJECT_CHARS = 64
"""Of a project's name, as many as the store keeps."""
MOST_ACTION_CHARS = 100
"""Of what a webhook says that happened, which the log and the answer repeat."""


def _whole(value: object) -> object:
    """A number like 3.0 is whole in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


LabelConfigXml = Annotated[str, StringConstraints(pattern=r"\S")]
ProjectName = (
    Annotated[str, StringConstraints(max_length=MOST_PROJECT_CHARS)]
    | Annotated[int, Field(ge=0, le=2**63 - 1), BeforeValidator(_whole)]
)

_UID = re.compile(r"[1-9][0-9]{0,17}\.[0-9]{1,12}")
"""How Label Studio names a project: number and creation time."""
_CONFIG = "hold the project's label config"
_PROJECT = (
    f"be the project's number and creation time, such as `3.1795361354`: a text of at most {MOST_PROJECT_CHARS} "
    "characters, or a whole number"
)
_MOST_SENTENCES = 5


class BadRequest(VlmJudgeError):
    """The request is not what the protocol says; answered with 400."""


class Message(BaseModel):
    """A body; what is not named in it is let through and not looked at."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, strict=True)

    expected: ClassVar[Mapping[str, str]] = {}
    """What fields must do, in words, for whoever sent something else."""


class SetupRequest(Message):
    """Label Studio tells of a project that is connected, and before every prediction request."""

    expected: ClassVar[Mapping[str, str]] = {"schema": _CONFIG, "project": _PROJECT}

    label_config: LabelConfigXml = Field(alias="schema", description="The project's label config.")
    project: ProjectName | None = Field(None, description="Number and creation time: `3.1795361354`.")


class SetupAnswer(Message):
    """Whose predictions these will be."""

    model_version: str = Field(description="The fingerprint of everything that decides a verdict.")
    unfilled: list[str] = Field(description="Controls that the judge never fills.")


class Params(Message):
    """What came with the tasks."""

    context: Any = Field(None, description="Of the interactive mode: what the annotator has drawn so far.")


class PredictRequest(Message):
    """Tasks to be judged."""

    expected: ClassVar[Mapping[str, str]] = {
        "tasks": "be a list of task objects",
        "label_config": _CONFIG,
        "project": _PROJECT,
    }

    tasks: list[dict[str, Any]] = Field(
        description="Tasks in Label Studio's form: `id`, `data`, and in the interactive mode `drafts`. "
        "What is wrong with one task leaves its own entry empty and no other's."
    )
    label_config: LabelConfigXml = Field(description="The project's label config.")
    project: ProjectName | None = Field(
        None,
        description="Number and creation time: `3.1795361354`. Named so, and with Label Studio's address and key set, "
        "what is not judged in time is written to the project later.",
    )
    params: Params | None = None

    @property
    def is_interactive(self) -> bool:
        """Whether an annotator waits for the answer, which Label Studio does not store."""
        return (self.params is not None and self.params.context is not None) or any(
            "drafts" in task for task in self.tasks
        )

    @property
    def uid(self) -> str | None:
        """The project where it is named as Label Studio names it; None where nothing could be written to it."""
        return self.project if isinstance(self.project, str) and _UID.fullmatch(self.project) else None


class Prediction(Message):
    """The judge's answer to one task."""

    result: list[dict[str, Any]] = Field(description="Regions in Label Studio's form.")
    score: float | None = Field(description="The verdict's confidence, in [0, 1].", ge=0, le=1)
    model_version: str | None = Field(
        None, description="The fingerprint; absent where an annotator's own request has no prediction."
    )


class PredictAnswer(Message):
    """One entry per task, in the tasks' order."""

    results: list[Prediction | Annotated[list[Prediction], Field(max_length=0)]] = Field(
        description="An empty list where there is no prediction yet, or none can be made."
    )


class WebhookRequest(Message):
    """Something happened in a project."""

    expected: ClassVar[Mapping[str, str]] = {
        "action": f"say what happened, such as ANNOTATION_CREATED, in at most {MOST_ACTION_CHARS} characters",
        "project": "be the project as an object, with `id` and `created_at`",
        "annotation": "be an annotation object or a list of them",
        "annotations": "be a list of annotation objects",
    }

    action: Annotated[str, StringConstraints(min_length=1, max_length=MOST_ACTION_CHARS)] = Field(
        description="ANNOTATION_CREATED, ANNOTATIONS_CREATED, ANNOTATION_UPDATED and ANNOTATIONS_DELETED are kept as "
        "feedback; any other is taken and passed over."
    )
    project: dict[str, Any] | None = Field(
        None, description="With `id` and `created_at`; without them nothing is kept."
    )
    annotation: dict[str, Any] | list[dict[str, Any]] | None = Field(
        None, description="What was created or updated, with `id`, `task` and `updated_at`."
    )
    annotations: list[dict[str, Any]] | None = Field(None, description="What was deleted, with `id`.")


class WebhookAnswer(Message):
    """What was understood."""

    status: Literal["ok"]
    action: str


class HealthAnswer(Message):
    """That the server is there, and to those who may know it, how the judge stands."""

    status: Literal["UP"]
    model_class: str | None = None
    judge: str | None = Field(None, description="The judge's short name.")
    engine: Literal["loading", "ready", "failed"] | None = None
    detail: str | None = Field(None, description="Why it failed.")
    waiting: int | None = Field(None, description="Samples in the queue.")


class ErrorAnswer(Message):
    """What was wrong, as a sentence."""

    error: str = Field(min_length=1)


def read(model: type[Body], content: bytes) -> Body:
    """The body of a request. Raises BadRequest that names the fields that are wrong."""
    try:
        return _checked(model, content or b"null")
    except ValidationError as exc:
        sentences = dict.fromkeys(_sentence(model, error) for error in exc.errors(include_url=False))
        raise BadRequest("; ".join(list(sentences)[:_MOST_SENTENCES])) from exc


def _checked(model: type[Body], content: bytes) -> Body:
    """The body; where it holds half a character, which JSON can spell and strict readers refuse, by a milder reader."""
    try:
        return model.model_validate_json(content)
    except ValidationError as exc:
        if exc.errors(include_url=False)[0]["type"] != "json_invalid" or b"\\u" not in content:
            raise
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            raise exc from None
    return model.model_validate(found)


def cut(text: str, most: int) -> str:
    """The text as it is shown: at most so many characters, and dots where there are more."""
    return text if len(text) <= most else f"{text[:most]}..."


def _sentence(model: type[Message], error: ErrorDetails) -> str:
    message = error["msg"]
    if error["type"] == "json_invalid":
        return f"the request body is not valid JSON in UTF-8: {message.removeprefix('Invalid JSON: ')}"
    if not error["loc"]:
        return "the request body must be a JSON object"
    field = str(error["loc"][0])
    if field in model.expected:
        return f"`{field}` must {model.expected[field]}"
    return f"`{field}`: {message[0].lower()}{message[1:]}"
