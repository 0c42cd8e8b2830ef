"""What settings and commands choose among; imports nothing, so that the commands' help comes at once."""

from typing import Literal

EngineName = Literal["demo", "local", "remote", "scripted"]

Explain = Literal["flagged", "all", "never"]
