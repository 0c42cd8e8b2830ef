"""Looks at everything between a label config and a verdict, and says what is wrong and what to type."""

from backend.doctor.findings import Finding, State
from backend.doctor.run import Orders, examine

__all__ = ["Finding", "Orders", "State", "examine"]
