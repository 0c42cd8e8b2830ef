"""Brings a published dataset into a Label Studio project, each row once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from backend.batch.arriving import Arrival, Arrivals, ImagesFolder, Tally
from backend.batch.fields import HeldImages
from backend.batch.parts import Chunk, Source
from backend.core.audit import without_plan
from backend.core.label_config import parse_label_config
from backend.errors import BatchError
from backend.images import ImageLoader
from backend.published.opening import Published
from backend.published.others import OtherRows
from backend.published.ours import OurRows
from backend.settings import Settings
from backend.studio import Project, Studio
from backend.trust.accepting import SERVICE_ACCOUNT

_PART_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of it."""

    tally: Tally

    def summary(self) -> str:
        """The balance in one line; several rows of one task count once."""
        tally = self.tally
        completed = f" ({tally.completed} of them without all that was said of them, which they have now)"
        return (
            f"{tally.rows} tasks in the dataset = {tally.imported} imported + {tally.already} there before"
            f"{completed if tally.completed else ''} + {tally.left_out} left out, which lack an image or text"
        )


@dataclass(slots=True)
class Bringing:
    """A published dataset on its way into a project. Raises BatchError where the label config does not fit it."""

    published: Published
    label_config: str
    """In XML; of ours the one that it was exported with. A plan for a blind slice in it counts for nothing there: what
    the judge said is published."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of somebody else's, for keys of the task's data which columns they are."""

    def __post_init__(self) -> None:
        published = self.published
        if published.is_ours and self.columns:
            raise BatchError(
                f"{published.name} was exported by vlm-judge, so its columns are known; name none, or choose another "
                "config of it with --config-name"
            )
        if published.is_ours:
            self.label_config = without_plan(self.label_config)
        self._rows()

    def _rows(self) -> OurRows | OtherRows:
        """For one pass over them. Raises BatchError."""
        published, config = self.published, parse_label_config(self.label_config)
        if published.is_ours:
            return OurRows(config, published.schema, published.name)
        return OtherRows(config, published.schema, published.name, self.columns)

    def data_of(self, key: str) -> tuple[Mapping[str, object], ...]:
        """What the data of all its tasks hold under a key. Raises BatchError."""
        rows = self._rows()
        found = (arrival for source in self.published.sources for arrival in rows.arrivals(_chunks(source)))
        return tuple({key: arrival.row.data.get(key)} for arrival in found)

    def into(
        self,
        studio: Studio,
        settings: Settings,
        project: Project,
        files: ImagesFolder | None = None,
        report: Callable[[int, int | None], None] = lambda done, total: None,
    ) -> Brought:
        """Import every row that is not in the project yet; a row is known again by its id, `judge_row`.

        Without `files`, an image that lies in its row becomes a data URI. Can be broken off and begun again. `report`
        hears of rows done and all there are. Raises BatchError, ImageError and StudioError.
        """
        config, is_ours = parse_label_config(project.label_config), self.published.is_ours
        if is_ours and config.audit is not None:
            raise BatchError(
                f"project {project.id} keeps tasks blind, and {self.published.name} publishes what the judge said; "
                "choose another --title"
            )
        versions: Counter[str] = Counter()
        done, total = 0, self.published.rows
        accounts, rows = _Accounts(studio), self._rows()
        arrivals = Arrivals(studio, project, config, files)
        arrivals.read_present(annotations=is_ours)
        for source in self.published.sources:
            images = HeldImages(ImageLoader(settings), source.root, settings.max_image_bytes)
            for arrival in rows.arrivals(_chunks(source)):
                arrivals.take(accounts.signed(arrival), images)
                versions.update(str(made["model_version"]) for made in arrival.predictions)
                done += 1
                report(done, total)
        tally = arrivals.finish()
        if versions:
            studio.use_model_version(project.id, versions.most_common(1)[0][0])
        return Brought(tally)


@dataclass(slots=True)
class _Accounts:
    """Whose annotations are that no person made."""

    studio: Studio
    _account: dict[str, int] | None = None

    def signed(self, arrival: Arrival) -> Arrival:
        """The arrival, with what was accepted without a person in the name of the judge's own account, if it has one.

        Whoever brings the dataset in would be told to have annotated it. Raises StudioError.
        """
        if not arrival.accepted:
            return arrival
        if self._account is None:
            number = self.studio.service_account(SERVICE_ACCOUNT, "VLM judge")
            self._account = {} if number is None else {"completed_by": number}
        return replace(arrival, accepted=tuple({**one, **self._account} for one in arrival.accepted))


def _chunks(source: Source) -> Iterator[Chunk]:
    """All rows of a split in order, some of them in memory at a time."""
    for part in source.parts(_PART_ROWS):
        empty = True
        for chunk in source.reader.chunks(part):
            empty = False
            yield chunk
        if empty and source.rows is None:
            return
