"""Small datasets to judge: Parquet files of drawn images with captions, and the verdicts that a folder then holds."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from PIL import Image

from backend.batch.judgement import COLUMNS
from backend.batch.judging import chosen_rubric, make_judge
from backend.core.label_config import parse_label_config
from backend.interfaces import default_label_config
from backend.service import Prepared
from backend.settings import Settings
from exporters.records.record import Record
from exporters.schema.features import Picture

SCRIPTED = Settings(engine="scripted")
CONFIG = parse_label_config(default_label_config())
IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (shade % 256, shade // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def picture_of(content: bytes) -> Picture:
    """The bytes of a PNG as they go into an export."""
    digest = hashlib.sha256(content).hexdigest()
    return Picture(content, f"{digest[:16]}.png", digest, digest)


def image(shade: int) -> dict[str, Any]:
    """As `datasets` stores one."""
    return {"bytes": png(shade), "path": f"{shade}.png"}


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"image": image(n), "caption": f"Dog number {n}.", "requested": "a dog" if n % 2 else None, "weight": n / 4}
        for n in range(first, first + count)
    ]


def write_parquet(path: Path, found: Sequence[Mapping[str, Any]], group: int = 5) -> Path:
    """The rows as a Parquet file of small row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pyarrow.Table.from_pylist([dict(row) for row in found]).schema
    if "image" in schema.names and pyarrow.types.is_struct(schema.field("image").type):
        schema = schema.set(schema.get_field_index("image"), pyarrow.field("image", IMAGE))
    table = pyarrow.Table.from_pylist([dict(row) for row in found], schema=schema)
    pyarrow.parquet.write_table(table, path, row_group_size=group)  # type: ignore[no-untyped-call]
    return path


def judged(out: Path) -> list[dict[str, Any]]:
    """All rows of an output, in order."""
    opened: Any = pyarrow.parquet.ParquetFile
    return [row for path in sorted((out / "data").glob("*.parquet")) for row in opened(path).read().to_pylist()]


def own(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows without what the judge says."""
    return [{name: value for name, value in row.items() if name not in COLUMNS} for row in found]


def prediction_of(caption: str, content: bytes, requested: str | None = None) -> dict[str, Any]:
    """What the scripted judge says of a task of a project with this text and image."""
    service, images = make_judge(SCRIPTED, chosen_rubric(SCRIPTED), None)
    judging = service.judging(CONFIG)
    try:
        from backend.batch.fields import Row

        images.hold(Row("1", {}, {"held:image": content}))
        data = {"image": "held:image", "caption": caption, "requested": requested}
        prepared = service.prepare_one({"id": "1", "data": data}, judging)
        assert isinstance(prepared, Prepared)
        [verdict] = service.judge([prepared])
        found: dict[str, Any] = json.loads(json.dumps(judging.prediction(verdict)))
        return found
    finally:
        service.close()


def unseen(task: int, images: Mapping[str, tuple[str | None, ...]], **fields: Any) -> Record:
    """A row that the judge alone has decided, and said nothing of."""
    usual: dict[str, Any] = {
        "texts": {},
        "final_text": None,
        "final_text_source": "missing",
        "decided_by": "judge only",
        "corrected_controls": None,
        "human": None,
        "judge": {},
        "judge_confidence": None,
        "fingerprint": None,
        "annotators": (),
        "annotation_count": 0,
        "verdicts_agree": None,
        "lead_time_s": None,
    }
    return Record(task_id=task, images=images, **{**usual, **fields})
