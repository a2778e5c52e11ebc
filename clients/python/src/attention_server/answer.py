"""What a compute endpoint has answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Answer(Mapping[str, Any]):
    """
    Arrays and numbers by the names that the server gives them: ``answer["output"]``, ``answer["grads.q"]``, ``answer["loss"]``,
    ``answer["layers.0.weights"]``. What has one name is an attribute as well, and a prefix gives what is below it:
    ``answer.output``, ``answer.grads["params.w_q"]``.
    """

    def __init__(self, values: Mapping[str, Any]):
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        below = {key[len(name) + 1 :]: value for key, value in self._values.items() if key.startswith(f"{name}.")}
        if not below:
            raise KeyError(f"{name}: the answer has {', '.join(self._values)}")
        return Answer(below)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        told = [f"{name}{list(value.shape)}" if hasattr(value, "shape") else name for name, value in self._values.items()]
        return f"Answer({', '.join(told)})"
