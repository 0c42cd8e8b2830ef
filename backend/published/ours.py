"""Makes of a row that this product exported the task it was: data, predictions, annotations, in their order of time.

| the row says | the project gets |
|---|---|
| `judge_*`, `fingerprint` | a prediction with probabilities, flags and reliance, score and version |
| `human_*` of somebody who saw the judge's answer | the annotation after it, started from it where they did |
| `human_*` of somebody who did not (`saw_prediction` false) | the annotation first, and the prediction after it |
| `decided_by` is `judge accepted` | the prediction, and the annotation that accepting makes of it |
| `audit` | beside the prediction the one that shows nothing, as it was in the project that the dataset comes from |
| several rows of one task (`--several all`) | one task with several annotations |

A task is known again by the dataset and its number there, `user/name#task-7`, so that a dataset that was published anew
with other names of files and in another order completes a project. Where a dataset was put together of several, which
have numbers in common, the annotation's number or the row's place tells the later ones apart.

The judge's answers to a blind slice are published with the dataset, so nothing is kept from anybody here: who annotated
blind comes before the prediction, so that an export says the same again, and everybody who opens the task now sees it.

What a dataset does not hold cannot come back: who annotated (whoever brings it in has annotated everything), when,
numbers of tasks, annotations and regions, answers of others than the one that the row was made of, skipped and left out
tasks, which certificate accepted, which region or image an answer given per region or image belonged to, the expected
value and the label mass of the judge's answers, and what the task's data held that the label config did not show.
Texts that were null come back empty. Where `audit`, or `saw_prediction` of a person's answer, is null because the
judge's answers were not known, a project cannot say so: the next export says what is so in the project then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from backend.authorship import ACCEPTED
from backend.batch.arriving import Answer, Arrival
from backend.batch.fields import Row, RowReader
from backend.batch.parts import Chunk
from backend.core.audit import blind_prediction
from backend.core.changes import changed_controls
from backend.core.deciding import deciding_control
from backend.core.label_config import LabelConfig
from backend.core.regions import encode
from backend.core.sample import role_of
from backend.core.types import Box, ControlValue, Origin, TextSpan, Value
from backend.errors import BatchError
from backend.published.names import TOLD, our_columns, without_control

Json = Mapping[str, Any]
Values = dict[str, ControlValue]
Side = Literal["human", "judge"]

_NOBODY = frozenset({"judge only", "judge accepted"})
"""Who decided where no person did."""
_UNKNOWN = "unknown"
"""Version of a blind prediction whose judge the row does not name."""
_BY_DATASET = "as published"
"""Stands for the certificate, which the row does not name."""
_REMEDY = "give the label config that the dataset was exported with, by --config"


@dataclass(frozen=True, slots=True)
class _Said:
    """What one row says of its task."""

    prediction: Json | None
    human: Values | None
    judge: Values
    changed: tuple[str, ...] | None
    """What the person changed in the judge's answer; None when they did not start from one."""
    saw: bool
    accepted: bool
    audit: bool
    lead_time_s: float | None


class OurRows:
    """Turns stored rows back into what the project had, under the label config that they were exported with.

    For one pass over a dataset: it remembers which ids it has given.
    """

    def __init__(self, config: LabelConfig, schema: Any, name: str) -> None:
        """`name` is the dataset's on the Hub, or where it lies. Raises BatchError for another label config."""
        import pyarrow

        self._config = config
        self._name = name
        self._lasting = _lasting(name)
        self._taken: set[str] = set()
        self._ours = our_columns(config)
        self._check(schema.names)
        inputs = {key: column for key, column in self._ours.inputs.items() if column in schema.names}
        said = self._ours.known - set(inputs.values())
        kept = [field for field in schema if field.name not in said]
        renamed = {key: column for key, column in inputs.items() if key != column}
        self._reader = RowReader(config, pyarrow.schema(kept), renamed)
        self._said = [name for name in schema.names if name in said]

    def arrivals(self, chunks: Iterable[Chunk]) -> Iterator[Arrival]:
        """The tasks of these rows, in order; rows of one task stand together. Raises BatchError."""
        for _, rows in groupby(self._rows(chunks), key=lambda pair: _task_of(*pair)):
            found = list(rows)
            first, values = found[0]
            empty = {item.key: "" for item in self._config.texts if first.data.get(item.key) is None}
            told = {key: values[key] for key in TOLD if self._comes_back(key, values)}
            said = [self._said_of(row.id, each) for row, each in found]
            known = replace(first, id=self._id_of(first, values), data={**first.data, **empty, **told})
            yield _arrival(known, said, self._config)

    def _id_of(self, row: Row, values: Json) -> str:
        """What the task is known again by; no two of a pass have the same."""
        task, annotation = values.get("task_id"), values.get("annotation_id")
        if task is None:
            return row.id
        name = f"{self._lasting}#task-{task}"
        own = row.id if annotation is None else f"{name}-annotation-{annotation}"
        found = next((one for one in (name, own) if one not in self._taken), row.id)
        self._taken.add(found)
        return found

    def _rows(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Row, Json]]:
        for chunk in chunks:
            yield from zip(self._reader.rows(chunk), chunk.table.select(self._said).to_pylist(), strict=True)

    def _comes_back(self, key: str, values: Json) -> bool:
        return key not in self._ours.inputs and values.get(key) is not None

    def _said_of(self, row: str, values: Json) -> _Said:
        human = {} if values["decided_by"] in _NOBODY else self._values(row, values, "human")
        judge = self._values(row, values, "judge")
        changed = values["corrected_controls"]
        return _Said(
            prediction=self._prediction(values, judge),
            human=None if values["decided_by"] in _NOBODY else human,
            judge=judge,
            changed=None if changed is None else tuple(changed),
            saw=values["saw_prediction"] is not False,
            accepted=values["decided_by"] == "judge accepted",
            audit=bool(values["audit"]),
            lead_time_s=values.get("lead_time_s"),
        )

    def _values(self, row: str, values: Json, side: Side) -> Values:
        """What the person or the judge said, by control; silent controls are absent."""
        found = {}
        for name, columns in self._ours.controls.items():
            control, column = self._config.control(name), columns.human if side == "human" else columns.judge
            held = values.get(column)
            if control is None or held is None or held == []:
                continue
            try:
                found[name] = ControlValue(name, control.tag, _value(control.tag, held))
            except (TypeError, ValueError, KeyError) as exc:
                raise BatchError(
                    f"row {row} of {self._name}: `{column}` holds nothing that the {control.tag} {name} can say "
                    f"({type(exc).__name__}: {exc}); {_REMEDY}"
                ) from exc
        return found

    def _prediction(self, values: Json, judge: Values) -> Json | None:
        """The judge's answer as Label Studio takes it; None where it said nothing."""
        if not judge:
            return None
        result = encode(tuple(judge.values()), self._config, self._details(values))
        score = {} if (confidence := values.get("judge_confidence")) is None else {"score": confidence}
        return {"result": result, "model_version": values["fingerprint"] or "", **score}

    def _details(self, values: Json) -> dict[str, Any]:
        """What travels unseen with the judge's values, by control; see `backend.core.predictions`."""
        found: dict[str, Any] = {}
        for name, columns in self._ours.controls.items():
            probs = values.get(columns.probs) if columns.probs else None
            if probs:
                found[name] = {"probs": {item["value"]: item["prob"] for item in probs}}
        flags, reliance = values.get("judge_flags"), values.get("judge_reliance")
        if flags is not None:
            told = found.setdefault(deciding_control(self._config), {})
            told |= {**({"flags": flags} if flags else {}), **({} if reliance is None else {"reliance": reliance})}
            if features := values.get("judge_features"):
                told["features"] = [{"text": item["value"], "prob": item["prob"]} for item in features]
        return found

    def _check(self, names: Sequence[str]) -> None:
        texts = {item.key for item in self._config.texts if role_of(item.name) == "requested"}
        lacking = [key for key, column in self._ours.inputs.items() if column not in names and key not in texts]
        if lacking:
            raise BatchError(
                f"the label config shows {', '.join(lacking)}, which {self._name} has no column of, only "
                f"{', '.join(names)}; {_REMEDY}"
            )
        strange = without_control(names, self._ours)
        if strange:
            raise BatchError(
                f"{self._name} has {', '.join(strange)}, and the label config no control that they are of; {_REMEDY}"
            )


def _lasting(name: str) -> str:
    """What a dataset is called whatever its revision; one on this machine without saying where it lies."""
    path = Path(name)
    if not path.exists():
        return name.partition("@")[0]
    place = path.resolve()
    return f"{place.name}-{hashlib.sha256(str(place).encode(errors='surrogateescape')).hexdigest()[:8]}"


def _task_of(row: Row, values: Json) -> object:
    number = values.get("task_id")
    return row.id if number is None else number


def _arrival(row: Row, said: Sequence[_Said], config: LabelConfig) -> Arrival:
    made: list[Json] = []
    for one in said:
        if one.prediction is not None and one.prediction not in made:
            made.append(one.prediction)
    version = made[0]["model_version"] if made else _UNKNOWN
    people = [one for one in said if one.human is not None]
    return Arrival(
        row,
        blind=(blind_prediction(0.0, version),) if any(one.audit for one in said) else (),
        first=tuple(_annotation(one, config) for one in people if not one.saw),
        accepted=tuple(_accepted(one.prediction) for one in said if one.accepted and one.prediction),
        predictions=tuple(made),
        answers=tuple(_answer(one, made, config) for one in people if one.saw),
    )


def _answer(said: _Said, made: Sequence[Json], config: LabelConfig) -> Answer:
    """The annotation, and what it started from.

    What was changed is told by comparing the two, where that gives what the row says; it does not where the answer that
    the person started from was deleted since and the row has another. There the regions' origins tell it.
    """
    compared = changed_controls(said.judge, said.human or {}) if said.prediction is not None else None
    started = said.changed is not None and compared == said.changed
    return Answer(_annotation(said, config), made.index(said.prediction) if started and said.prediction else None)


def _annotation(said: _Said, config: LabelConfig) -> Json:
    result = [
        {**region, "origin": _origin(region["from_name"], said)}
        for region in encode(tuple((said.human or {}).values()), config)
    ]
    spent = {} if said.lead_time_s is None else {"lead_time": said.lead_time_s}
    return {"result": result, "was_cancelled": False, "ground_truth": False, **spent}


def _origin(control: str, said: _Said) -> Origin:
    if said.changed is None:
        return "manual"
    if control not in said.changed:
        return "prediction"
    return "prediction-changed" if control in said.judge or not said.judge else "manual"


def _accepted(prediction: Json) -> Json:
    """The judge's answer as an annotation, marked in every region as taken without a person."""
    result = [{**region, "meta": {**region.get("meta", {}), ACCEPTED: _BY_DATASET}} for region in prediction["result"]]
    return {"result": result, "was_cancelled": False, "ground_truth": False}


def _value(tag: str, held: Any) -> Value:
    """A control's value out of a column. Raises TypeError, ValueError and KeyError for what is none."""
    if tag == "Rating":
        return int(held)
    if tag == "Number":
        return float(held)
    if tag == "Choices":
        return (held,) if isinstance(held, str) else tuple(_texts(held))
    if tag == "Taxonomy":
        return tuple(tuple(_texts(path)) for path in held)
    if tag in ("TextArea", "Pairwise"):
        return "".join(_texts([held]))
    return _spans(held) if tag == "Labels" and "start" in held[0] else _boxes(held)


def _texts(held: Iterable[object]) -> Iterator[str]:
    for item in held:
        if not isinstance(item, str):
            raise TypeError(f"expected text, found {type(item).__name__}")
        yield item


def _spans(held: Sequence[Json]) -> tuple[TextSpan, ...]:
    return tuple(TextSpan(int(item["start"]), int(item["end"]), item["text"], item["label"]) for item in held)


def _boxes(held: Sequence[Json]) -> tuple[Box, ...]:
    return tuple(
        Box(item["x"], item["y"], item["width"], item["height"], item["label"], item.get("page")) for item in held
    )
