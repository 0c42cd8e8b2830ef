"""What Label Studio sends and is answered, checked and described by the same models."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from backend.errors import VlmJudgeError

Body = TypeVar("Body", bound="Message")

LabelConfigXml = Annotated[str, StringConstraints(pattern=r"\S")]


_EXPECTED = {
    "label_config": "hold the project's label config",
    "schema": "hold the project's label config",
    "tasks": "be a list of task objects",
    "action": "say what happened, such as ANNOTATION_CREATED",
}
_MOST_SENTENCES = 5


class BadRequest(VlmJudgeError):
    """The request is not what the protocol says; answered with 400."""


class Message(BaseModel):
    """A body; what is not named in it is let through and not looked at."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, strict=True)


class SetupRequest(Message):
    """Label Studio tells of a project that is connected, and before every prediction request."""

    label_config: LabelConfigXml = Field(alias="schema", description="The project's label config.")
    project: str | int | None = Field(None, description="Number and creation time: `3.1795361354`.")


class SetupAnswer(Message):
    """Whose predictions these will be."""

    model_version: str = Field(description="The fingerprint of everything that decides a verdict.")
    unfilled: list[str] = Field(description="Controls that the judge never fills.")


class Params(Message):
    """What came with the tasks."""

    context: Any = Field(None, description="Of the interactive mode: what the annotator has drawn so far.")


class PredictRequest(Message):
    """Tasks to be judged."""

    tasks: list[dict[str, Any]] = Field(description="Tasks in Label Studio's form: `id`, `data`.")
    label_config: LabelConfigXml = Field(description="The project's label config.")
    project: str | int | None = Field(None, description="Number and creation time: `3.1795361354`.")
    params: Params | None = None

    @property
    def is_interactive(self) -> bool:
        """Whether an annotator waits for the answer, which Label Studio does not store."""
        return (self.params is not None and self.params.context is not None) or any(
            "drafts" in task for task in self.tasks
        )


class Prediction(Message):
    """The judge's answer to one task."""

    result: list[dict[str, Any]] = Field(description="Regions in Label Studio's form.")
    score: float | None = Field(description="The verdict's confidence, in [0, 1].")
    model_version: str


class PredictAnswer(Message):
    """One entry per task, in the tasks' order."""

    results: list[Prediction | list[Prediction]] = Field(
        description="An empty list where there is no prediction yet, or none can be made."
    )


class WebhookRequest(Message):
    """Something happened in a project."""

    action: Annotated[str, StringConstraints(min_length=1)] = Field(description="Such as ANNOTATION_CREATED.")
    project: dict[str, Any] | None = None
    annotation: dict[str, Any] | list[dict[str, Any]] | None = None
    annotations: list[dict[str, Any]] | None = None


class WebhookAnswer(Message):
    """What was understood."""

    status: str
    action: str


class HealthAnswer(Message):
    """That the server is there, and to those who may know it, how the judge stands."""

    status: str
    model_class: str | None = None
    judge: str | None = None
    engine: str | None = Field(None, description="`loading`, `ready` or `failed`.")
    detail: str | None = Field(None, description="Why it failed.")
    waiting: int | None = Field(None, description="Samples in the queue.")


class ErrorAnswer(Message):
    """What was wrong, as a sentence."""

    error: str


def read(model: type[Body], content: bytes) -> Body:
    """The body of a request. Raises BadRequest that names the fields that are wrong."""
    try:
        return model.model_validate_json(content or b"null")
    except ValidationError as exc:
        sentences = dict.fromkeys(_sentence(error["loc"], error["msg"]) for error in exc.errors(include_url=False))
        raise BadRequest("; ".join(list(sentences)[:_MOST_SENTENCES])) from exc


def _sentence(place: tuple[str | int, ...], message: str) -> str:
    field = str(place[0]) if place else ""
    if field in _EXPECTED:
        return f"`{field}` must {_EXPECTED[field]}"
    return f"`{field}`: {message[0].lower()}{message[1:]}" if field else "the request body must be a JSON object"
