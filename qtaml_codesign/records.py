"""The base of values that are checked field by field: pydantic inside, our own names outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

_OURS = __name__.split(".")[0]


class OwnNames(ModelMetaclass):
    """`help` and `dir` of a class show what this package defines, not the dozens of names that pydantic inherits."""

    def __dir__(cls) -> list[str]:
        ours = [base for base in cls.__mro__ if base.__module__.split(".")[0] == _OURS]
        found = {name for base in ours for name in vars(base) if not name.startswith("_")}
        return sorted([*found, "__doc__", "__init__", "__module__", "__name__"])


class Record(BaseModel, metaclass=OwnNames):
    """A frozen pydantic model that refuses unknown keys, and whose `help` and `dir` show its own names.

    Example:
        >>> class Point(Record):
        ...     x: float
        ...     @property
        ...     def double(self) -> float:
        ...         return 2.0 * self.x
        >>> Point.__module__ = "qtaml_codesign.example"
        >>> "double" in dir(Point), "model_dump" in dir(Point), Point(x=1.0).double
        (True, False, 2.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
