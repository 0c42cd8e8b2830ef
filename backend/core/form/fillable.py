"""Which controls can be filled by what their tags say, and why others cannot."""

from __future__ import annotations

from backend.core.form.boxes import labels_beside, rectangle_beside
from backend.core.label_config import CONTROL_TAGS, Control, LabelConfig, ObjectTag

_SEEN = frozenset({"Image", "Text", "HyperText"})
_LISTED = frozenset({"Choices", "Taxonomy", "Labels", "RectangleLabels"})


def why_not(control: Control, config: LabelConfig, bound: frozenset[str]) -> str | None:
    """Why the control stays empty in every task; None when it can be filled. `bound` is what the rubric fills."""
    targets = [config.object(name) for name in control.objects]
    unseen = [item for item in targets if item is not None and item.tag not in _SEEN]
    if control.tag not in CONTROL_TAGS:
        return f"the judge fills no {control.tag} controls"
    if control in config.others:
        return "it is repeated for every item of a list"
    if None in targets:
        return f"the label config shows no object `{control.objects[targets.index(None)]}`"
    if unseen:
        return f"it belongs to `{unseen[0].name}`, and the judge cannot see what a tag {unseen[0].tag} shows"
    if not control.max_rating:
        return "its maxRating is not a whole number of at least 1"
    return _scope(control, bound) or _choices(control) or _place(control, config, [item for item in targets if item])


def _scope(control: Control, bound: frozenset[str]) -> str | None:
    if control.scope == "region":
        return "it is filled in for every region, and the regions do not exist yet"
    if control.scope == "item":
        return "it is filled in for every image of a list"
    hidden = next((condition for condition in control.shown_when if condition.control in bound), None)
    return f"it is shown only for some answers in `{hidden.control}`" if hidden else None


def _choices(control: Control) -> str | None:
    if control.tag not in _LISTED:
        return None
    if control.remote:
        return "its choices come from an address that only the annotator's browser asks"
    if control.key and control.choices:
        return "it adds choices of the task to its own, which Label Studio takes from no prediction"
    if not control.key and not control.choices:
        return "it has no choices"
    if control.tag == "Choices" and any(choice.children for choice in control.choices):
        return "its choices are nested; a Taxonomy can be filled"
    return None


def _place(control: Control, config: LabelConfig, targets: list[ObjectTag]) -> str | None:
    """What its tag asks of the object it lies on."""
    tag, on = control.tag, targets[0]
    if tag == "Pairwise":
        return "the rubric does not compare texts"
    if tag in ("RectangleLabels", "Rectangle") and on.tag != "Image":
        return f"it draws on `{on.name}`, which is no image"
    if tag == "Labels" and on.tag == "HyperText":
        return f"it marks `{on.name}`, whose markup the judge does not see"
    if tag == "Labels" and on.tag == "Image" and rectangle_beside(control, config) is None:
        return f"no Rectangle draws on `{on.name}` what it labels"
    if tag in ("Labels", "RectangleLabels", "Rectangle") and not on.key:
        return f"it marks `{on.name}`, which is the same in every task"
    if tag == "Rectangle":
        return _labels(control, config)
    return None


def _labels(control: Control, config: LabelConfig) -> str | None:
    """A Rectangle draws what the Labels beside it name: where these cannot be filled, neither can it."""
    labels = labels_beside(control, config)
    reason = why_not(labels, config, frozenset()) if labels else None
    return f"`{labels.name}`, which labels it, stays empty: {reason}" if labels and reason else None
