"""Every error this product raises on purpose.

VlmJudgeError
├── SettingsError         a setting is missing, unknown or wrong
├── RubricError           a rubric file cannot be read or is not valid
├── LabelConfigError      a label config has no controls the judge can fill, or cannot be parsed
├── TaskError             one task cannot be judged; the others can
│   ├── ImageError        an image of the task cannot be had or read
│   │   └── ImageAway     it cannot be had just now; asking again later may help
│   └── RowError          a row of labelled data cannot be used
├── EngineError           the model cannot be loaded or cannot answer
│   └── EngineDead        it never will again in this process, which must be started anew
├── StoreError            the store of verdicts and jobs cannot be read or written just now
├── StudioError           Label Studio refused, failed or is not there
│   ├── ConnectionRefusedByStudio   its address check rejected our backend
│   └── StudioAway        it is not there, too slow or failing; asking again later may help
├── BatchError            a dataset cannot be read, or its verdicts not be written down
├── ExportError           an export cannot go on
├── EvaluationError       labelled data cannot be opened, or nothing in them can be used
├── GenerationError       candidates cannot be generated
├── TrustError            a statement about the judge cannot be made from what there is
└── DemoError             the demo cannot start or go on

Each message says what was wrong, where, and what to do. `vlm-judge` prints the message and ends
with exit code 1; any other exception is a defect of ours and shows a traceback.
"""

__all__ = [
    "BatchError",
    "ConnectionRefusedByStudio",
    "DemoError",
    "EngineDead",
    "EngineError",
    "EvaluationError",
    "ExportError",
    "GenerationError",
    "ImageAway",
    "ImageError",
    "LabelConfigError",
    "RowError",
    "RubricError",
    "SettingsError",
    "StoreError",
    "StudioAway",
    "StudioError",
    "TaskError",
    "TrustError",
    "VlmJudgeError",
]


class VlmJudgeError(Exception):
    """Base of all errors that are told to the user as a sentence."""


class SettingsError(VlmJudgeError):
    """A setting is missing, unknown or wrong."""


class RubricError(VlmJudgeError):
    """A rubric file cannot be read or is not valid."""


class LabelConfigError(VlmJudgeError):
    """A label config cannot be parsed, or has nothing that the judge can fill."""


class TaskError(VlmJudgeError):
    """One task cannot be judged; the others can."""


class ImageError(TaskError):
    """An image of a task cannot be had or read."""


class ImageAway(ImageError):
    """An image of a task cannot be had just now: its server is away, too slow or failing."""


class RowError(TaskError):
    """A row of labelled data cannot be used."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        """The same words for all rows with the same fault, so that they can be counted."""


class EngineError(VlmJudgeError):
    """The model cannot be loaded or cannot answer."""


class EngineDead(EngineError):
    """The model never will answer again in this process: its GPU is lost to it. The process must be started anew."""


class StoreError(VlmJudgeError):
    """The store cannot be read or written just now: the disk is full, the database is gone."""


class StudioError(VlmJudgeError):
    """Label Studio refused a request, failed, or is not there."""


class ConnectionRefusedByStudio(StudioError):
    """Label Studio's address check rejected the backend's address."""


class StudioAway(StudioError):
    """Label Studio is not there, too slow or failing. A write that ends so may have been carried out all the same."""


class BatchError(VlmJudgeError):
    """A dataset cannot be read, or its verdicts not be written down."""


class ExportError(VlmJudgeError):
    """An export cannot go on without losing or inventing something."""


class GenerationError(VlmJudgeError):
    """Base images or candidates cannot be had, or not be written down."""


class EvaluationError(VlmJudgeError):
    """Labelled data cannot be opened, or nothing in them can be used."""


class TrustError(VlmJudgeError):
    """A statement about the judge cannot be made from the labels there are, or does not hold any more."""


class DemoError(VlmJudgeError):
    """The demo cannot start or go on."""
