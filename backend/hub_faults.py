"""What the client of the Hugging Face Hub raises when the Hub is away, refuses, or breaks off."""

from __future__ import annotations

from importlib import import_module


def hub_fault() -> type[Exception]:
    """The base of all of it: that of the client's own HTTP library, which differs between its versions.

    The client always has the library under this name, and its own errors about a status are of the same base.
    """
    found: type[Exception] = import_module("huggingface_hub.utils").httpx.HTTPError
    return found
