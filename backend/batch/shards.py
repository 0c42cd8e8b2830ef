"""The files of the output: a part's verdicts while it is judged, and its Parquet file when it is done.

While a part is judged every verdict is one line of a journal; what is in it is not judged again after a stop. The
Parquet file is written beside its place and put there whole, so that a part is either done or not; then the journal
goes. Nothing is ever there twice, because a part's file is named by the part.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backend.batch.judgement import COLUMNS, Judgement, from_line, judge_fields
from backend.errors import BatchError

DATA, JOURNALS = "data", ".journals"
"""Folders of the output."""
NOTES = b"vlm_judge"
"""Key of a file's own metadata."""


@dataclass(frozen=True, slots=True)
class PartDone:
    """What a finished part came to."""

    number: int
    rows: int
    failed: int
    """Rows that could not be judged, those that were away included."""
    away: tuple[str, ...] = ()
    """Rows that may be judged when asked again."""

    @property
    def judged(self) -> int:
        """Rows that have a prediction."""
        return self.rows - self.failed


def shard_path(out: Path, number: int) -> Path:
    """Where a part's verdicts are, once it is done."""
    return out / DATA / f"part-{number:07d}.parquet"


def shards(out: Path) -> tuple[Path, ...]:
    """The files of the parts that are done, in order."""
    return tuple(sorted((out / DATA).glob("part-*.parquet")))


def part_done(path: Path) -> PartDone | None:
    """What a part came to; None when it is not done. Raises BatchError for a file that is not ours."""
    if not path.exists():
        return None
    import pyarrow
    import pyarrow.parquet

    try:
        notes = json.loads(pyarrow.parquet.read_metadata(path).metadata[NOTES])  # type: ignore[no-untyped-call]
        number = int(path.stem.removeprefix("part-"))
        return PartDone(number, int(notes["rows"]), int(notes["failed"]), tuple(notes["away"]))
    except (OSError, pyarrow.ArrowException, KeyError, TypeError, ValueError) as exc:
        raise BatchError(f"{path} is no file of this command ({exc}); move it away, and its rows are judged") from exc


def begun(out: Path) -> frozenset[int]:
    """Parts that have a journal."""
    return frozenset(int(path.stem.removeprefix("part-")) for path in (out / JOURNALS).glob("part-*.jsonl"))


def said_before(out: Path, number: int) -> dict[str, Judgement]:
    """What is known of a part's rows: from its file, but for those that were away, and from its journal."""
    known: dict[str, Judgement] = {}
    path = shard_path(out, number)
    if (done := part_done(path)) is not None:
        import pyarrow.parquet

        names = [name for name in COLUMNS if name != "judge_fingerprint"]
        for row in pyarrow.parquet.read_table(path, columns=names).select(names).to_pylist():  # type: ignore[no-untyped-call]
            said = Judgement(*row.values())
            known |= {said.row: said} if said.row not in done.away else {}
    return {**known, **_journal_lines(_journal_path(out, number))}


class Journal:
    """The lines of a part that is being judged."""

    def __init__(self, out: Path, number: int) -> None:
        self._path = _journal_path(out, number)

    def __enter__(self) -> Self:
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as exc:
            raise BatchError(f"cannot write {self._path}: {exc.strerror}") from exc
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def add(self, said: Judgement) -> None:
        """Write a line; it stays when this process is killed. Raises BatchError."""
        try:  # one write, so that lines of two processes do not mix; it begins anew in case a last one was cut short
            os.write(self._file, f"\n{said.line()}".encode())
        except OSError as exc:
            raise BatchError(f"cannot write {self._path}: {exc.strerror}; what is written is kept") from exc

    def remove(self) -> None:
        """Delete it: its part is done."""
        self._path.unlink(missing_ok=True)


class ShardWriter:
    """A part's Parquet file as it is written; it is put in its place when the block ends without an error."""

    def __init__(self, out: Path, number: int, schema: Any, fingerprint: str) -> None:
        self._place = shard_path(out, number)
        self._draft = self._place.with_name(f".{self._place.stem}-{secrets.token_hex(6)}.writing")
        self._schema = with_judgements(schema)
        self._fingerprint = fingerprint
        self._notes: dict[str, Any] = {"rows": 0, "failed": 0, "away": []}
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> None:
        try:
            if self._writer is not None:
                self._writer.add_key_value_metadata({NOTES: json.dumps(self._notes)})
                self._writer.close()
                if kind is None:
                    self._put()
        except OSError as error:
            raise BatchError(f"cannot write {self._place}: {error.strerror}; what is judged is kept") from error
        finally:
            self._draft.unlink(missing_ok=True)

    def add(self, table: Any, said: Sequence[Judgement], away: Sequence[str]) -> None:
        """Add rows with what the judge says of each; `away` are those that may be judged another time."""
        import pyarrow
        import pyarrow.parquet

        values = zip(*(item.columns(self._fingerprint) for item in said), strict=True)
        for field, column in zip(judge_fields(), values, strict=True):
            table = table.append_column(field, pyarrow.array(column, field.type))
        try:
            if self._writer is None:
                self._writer = pyarrow.parquet.ParquetWriter(self._draft, self._schema)  # type: ignore[no-untyped-call]
            self._writer.write_table(table.cast(self._schema))
        except OSError as exc:
            raise BatchError(f"cannot write {self._draft}: {exc}; what is judged is kept") from exc
        self._notes["rows"] += len(said)
        self._notes["failed"] += sum(item.failure is not None for item in said)
        self._notes["away"] += away

    def done(self, number: int) -> PartDone:
        """What was written."""
        return PartDone(number, self._notes["rows"], self._notes["failed"], tuple(self._notes["away"]))

    def _put(self) -> None:
        with self._draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self._draft, self._place)


def with_judgements(schema: Any) -> Any:
    """The output's schema. Raises BatchError where the data have columns of these names."""
    taken = sorted(set(schema.names) & set(COLUMNS))
    if taken:
        raise BatchError(f"the data have columns {', '.join(taken)}, as if judged before; rename them, or drop them")
    for field in judge_fields():
        schema = schema.append(field)
    return schema


def begin_folders(out: Path) -> None:
    """Make the output's folders, and clear away what runs that were killed were writing. Raises BatchError."""
    try:
        for name in (DATA, JOURNALS):
            (out / name).mkdir(parents=True, exist_ok=True)
        for draft in (out / DATA).glob(".part-*.writing"):
            draft.unlink(missing_ok=True)
    except OSError as exc:
        raise BatchError(f"cannot write to {out}: {exc.strerror}; choose another --out") from exc


def _journal_path(out: Path, number: int) -> Path:
    return out / JOURNALS / f"part-{number:07d}.jsonl"


def _journal_lines(path: Path) -> Mapping[str, Judgement]:
    """What the journal says; a line that was cut off says nothing."""
    found: dict[str, Judgement] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return found
    except OSError as exc:
        raise BatchError(f"cannot read {path}: {exc.strerror}") from exc
    for line in lines:
        try:
            said = from_line(line.decode())
        except (ValueError, TypeError):
            continue
        found[said.row] = said
    return found
