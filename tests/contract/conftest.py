"""What several contract tests speak to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import hub_emulator


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A hub; the client is kept from Xet storage as HF_HUB_DISABLE_XET=1 would, read at its import."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with hub_emulator.running_hub() as running:
        yield running
