"""Verdicts: of a comparison, and of a gradient check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AttentionMismatch(AssertionError):
    """A candidate, or a gradient, is further off than it may be."""

    def __init__(self, message: str, report: "Report | GradientReport"):
        super().__init__(message)
        self.report = report


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else str(value)


class Report:
    """The answer of ``POST /v1/compare``."""

    def __init__(self, data: Mapping[str, Any]):
        self.data = dict(data)

    @property
    def passed(self) -> bool:
        return bool(self.data["verdict"] == "pass")

    @property
    def verdict(self) -> str:
        return str(self.data["verdict"])

    @property
    def tensors(self) -> dict[str, dict[str, Any]]:
        """By the names of the candidate's tensors: ``output``, ``grads.q``."""
        found: dict[str, dict[str, Any]] = self.data["tensors"]
        return found

    @property
    def diagnosis(self) -> list[dict[str, Any]]:
        """The usual mistakes that explain the candidate, best first: ``says``, ``change``, ``explains``."""
        found: list[dict[str, Any]] = self.data.get("diagnosis", [])
        return found

    def raise_for_verdict(self) -> "Report":
        """Raises AttentionMismatch where the verdict is not `pass`."""
        if not self.passed:
            raise AttentionMismatch(str(self), self)
        return self

    def __str__(self) -> str:
        lines = [f"attention: {self.verdict.upper()}"]
        for name, found in self.tensors.items():
            line = f"  {name}: {found['verdict']}, max_abs {_short(found['max_abs'])}, allowed {_short(found['allowed'])}"
            if found["verdict"] == "fail":
                line += f", {found['mismatched']} mismatched, first bad row {found['first_bad_row']}"
                for worst in found["worst"][:3]:
                    line += f"\n    {worst['index']}: got {_short(worst['got'])}, want {_short(worst['want'])}"
            lines.append(line)
        for finding in self.diagnosis:
            lines.append(f"  {finding['says']} (explains {_short(finding['explains'])})")
        return "\n".join(lines)


class GradientReport:
    """The answer of ``POST /v1/gradient-check``."""

    def __init__(self, data: Mapping[str, Any]):
        self.data = dict(data)

    @property
    def passed(self) -> bool:
        return bool(self.data["verdict"] == "pass")

    @property
    def verdict(self) -> str:
        return str(self.data["verdict"])

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """By the names of ``wrt``: ``q``, ``params.w_q``."""
        found: dict[str, dict[str, Any]] = self.data["inputs"]
        return found

    def raise_for_verdict(self) -> "GradientReport":
        """Raises AttentionMismatch where the verdict is not `pass`."""
        if not self.passed:
            raise AttentionMismatch(str(self), self)
        return self

    def __str__(self) -> str:
        lines = [f"gradients: {self.verdict.upper()}"]
        for name, found in self.inputs.items():
            lines.append(f"  {name}: {found['verdict']}, worst {_short(found['worst'])}, kinks {found['kinks']}")
        return "\n".join(lines)
