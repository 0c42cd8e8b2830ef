"""The check of a project's images: one of each kind of source is loaded, as the judge would load it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

from backend.core.judging import Judging
from backend.core.types import ImageRef
from backend.doctor.findings import Checking, Finding, Lacking, State, parted
from backend.doctor.label_studio import SignedIn
from backend.errors import ImageError, StudioError, TaskError
from backend.images import ImageLoader
from backend.settings import Settings
from backend.studio_types import Project, StudioTask

TASKS, IMAGES = "tasks", "images"
LOOKED_AT = 200
"""Tasks whose image sources are looked at."""

_CLOUD = "see under Settings > Cloud Storage that the project has this storage, with keys that still work"
_KINDS = (
    ("data:", "data URI", "write it anew, as data:image/png;base64,..."),
    ("/data/upload/", "upload", "it is gone from Label Studio's media folder: upload it again"),
    (
        "/data/local-files/",
        "local file",
        "see that the file is below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT of Label Studio, which runs with "
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, and that the project has a Local Files storage for its folder",
    ),
    ("s3://", "s3", _CLOUD),
    ("gs://", "gs", _CLOUD),
    ("azure-blob://", "azure", _CLOUD),
    ("http://", "web", "open the address on this machine, and correct it in the task"),
    ("https://", "web", "open the address on this machine, and correct it in the task"),
    ("/", "Label Studio path", "open it in Label Studio, and correct it in the task"),
)
_OTHER = ("other", "write it as http(s)://, s3://, gs://, azure-blob://, /data/... or data:image/...")


@dataclass(frozen=True, slots=True)
class Source:
    """An image of a task, and the kind of place it is in."""

    task: StudioTask
    image: ImageRef

    @property
    def kind(self) -> str:
        """A word or two, such as `upload` or `s3`."""
        return kind_of_source(self.image.uri)[0]


def kind_of_source(uri: str) -> tuple[str, str]:
    """The kind of place that an address names, and what to do when nothing is there."""
    return next(((kind, remedy) for start, kind, remedy in _KINDS if uri.startswith(start)), _OTHER)


def check_images(
    settings: Settings, signed: SignedIn, project: Project, judging: Judging
) -> Checking[StudioTask | Lacking]:
    """Load one image of each kind; the first task whose images of the kinds seen can be loaded, to be judged."""
    try:
        tasks = tuple(islice(chain.from_iterable(signed.studio.pages(project.id, LOOKED_AT, fields="data")), LOOKED_AT))
    except StudioError as exc:
        yield Finding(TASKS, "failed", *parted(exc, "try again when Label Studio answers"))
        return Lacking("no task could be read")
    if not tasks:
        yield Finding(IMAGES, "skipped", f"project {project.id} has no tasks")
        return Lacking("the project has no tasks")
    faults, sources = _sources(judging, tasks)
    if faults:
        yield tasks_finding(faults, len(tasks))
    loader = ImageLoader(settings)
    readable: list[StudioTask] = []
    for source in sources:
        if (yield from load_source(loader, source)):
            readable.append(source.task)
    return readable[0] if readable else Lacking("no task has images that can be read")


def tasks_finding(faults: Sequence[str], looked_at: int) -> Finding:
    """The tasks that cannot be judged whatever their images are."""
    state: State = "failed" if len(faults) == looked_at else "warning"
    detail = f"{len(faults)} of the first {looked_at} tasks cannot be judged, such as: {faults[0]}"
    return Finding(TASKS, state, detail, "correct these tasks or delete them; the others are judged")


def _sources(judging: Judging, tasks: Sequence[StudioTask]) -> tuple[list[str], list[Source]]:
    """What is wrong with tasks, and the first image of each kind of source."""
    faults: list[str] = []
    found: dict[str, Source] = {}
    for task in tasks:
        try:
            sample = judging.bind({"id": task.id, "data": task.data})
        except TaskError as exc:
            faults.append(str(exc))
            continue
        for image in sample.images:
            source = Source(task, image)
            found.setdefault(source.kind, source)
    return faults, list(found.values())


def load_source(loader: ImageLoader, source: Source) -> Checking[bool]:
    """Whether the judge can load it."""
    kind, remedy = kind_of_source(source.image.uri)
    check = f"image: {kind}"
    try:
        picture = loader.load(source.image.uri, str(source.task.id))
    except ImageError as exc:
        wrong, advice = parted(exc, remedy)
        yield Finding(check, "failed", f"task {source.task.id}, `{source.image.name}`: {wrong}", advice)
        return False
    yield Finding(check, "ok", f"task {source.task.id} shows {picture.width} x {picture.height} pixels")
    return True
