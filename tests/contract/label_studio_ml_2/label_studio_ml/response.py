from __future__ import annotations

from label_studio_sdk.label_interface.objects import PredictionValue
from pydantic import BaseModel, ConfigDict


class ModelResponse(BaseModel):  # type: ignore[misc, unused-ignore]
    model_config = ConfigDict(protected_namespaces=("__.*__", "_.*"))

    model_version: str | None = None
    predictions: list[list[PredictionValue] | PredictionValue]

    def has_model_version(self) -> bool:
        return bool(self.model_version)

    def update_predictions_version(self) -> None:
        for prediction in self.predictions:
            for one in prediction if isinstance(prediction, list) else [prediction]:
                if not one.model_version:
                    one.model_version = self.model_version
