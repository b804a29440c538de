"""Dataclasses that are JSON objects on disk: checked by their types when read, written as read.

`sebre.evaluation.scores` builds the records of `sebre evaluate` and `sebre register` of them.
"""

import dataclasses
import math
import typing
from dataclasses import MISSING, dataclass
from functools import cache
from types import NoneType
from typing import Any, ClassVar, Self

from mrcnn.errors import UserError

_WORDS = {float: "a number", int: "a number", str: "text", bool: "true or false"}


class RecordFault(UserError):
    """What keeps JSON from being a whole record."""


def stored(
    key: str = "", omit: bool = False, inline: bool = False, need: bool = False, **options: Any
) -> Any:
    """A field of a `Stored` class.

    Args:
        key: in the JSON object, where it is not the name of the field.
        omit: the object has no such key while the field has its default; null is a fault.
        inline: the field is a `Stored` whose keys lie in the object itself.
        need: the object must have it, although the field has a default.
        options: of `dataclasses.field`.
    """
    how = {"key": key, "omit": omit, "inline": inline, "need": need}
    return dataclasses.field(metadata=how, **options)


@dataclass(kw_only=True)
class Stored:
    """A JSON object. What was read is written with the same keys in the same order.

    Keys that are not of the class are kept, and written again.
    """

    _keys: ClassVar[tuple[str, ...]] = ()
    _more: ClassVar[dict[str, Any]] = {}

    @classmethod
    def from_json(cls, value: Any, where: str = "") -> Self:
        """Check and read a JSON object; `where` is the path to it inside the file, for messages."""
        if not isinstance(value, dict):
            raise RecordFault(f"{where or 'it'} holds a JSON {type(value).__name__}, not an object")
        start = f"{where}." if where else ""
        lacks = [start + key for key in cls.needs() if key not in value]
        if lacks:
            raise RecordFault(f"it lacks {', '.join(lacks)}")
        found = cls(**cls._fields(value, start))
        found._keys = tuple(value)
        known = found._values()
        found._more = {key: entry for key, entry in value.items() if key not in known}
        return found

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        values = {**self._values(), **self._more}
        if self._keys:
            return {key: values[key] for key in self._keys}
        return values

    @classmethod
    def needs(cls) -> list[str]:
        """Keys that an object must have."""
        needed: list[str] = []
        for field, key, kind in _fields_of(cls):
            if field.metadata.get("inline"):
                needed += kind.needs()
            elif field.metadata.get("need") or field.default is field.default_factory is MISSING:
                needed.append(key)
        return needed

    @classmethod
    def _fields(cls, value: dict[str, Any], start: str) -> dict[str, Any]:
        found = {}
        for field, key, kind in _fields_of(cls):
            if field.metadata.get("inline"):
                found[field.name] = kind.from_json(value, start.removesuffix("."))
            elif key in value:
                if field.metadata.get("omit"):
                    kind = _without_none(kind)
                found[field.name] = _read(kind, value[key], start + key)
        return found

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for field, key, _ in _fields_of(type(self)):
            value = getattr(self, field.name)
            if field.metadata.get("inline"):
                values |= value._values()
            elif key in self._keys or not (field.metadata.get("omit") and value == _default(field)):
                values[key] = _written(value)
        return values


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


@cache
def _fields_of(cls: type[Stored]) -> tuple[tuple[dataclasses.Field, str, Any], ...]:
    """The stored fields of a class with their keys and types."""
    hints = typing.get_type_hints(cls)
    return tuple(
        (field, field.metadata.get("key") or field.name, hints[field.name])
        for field in dataclasses.fields(cls)
        if field.metadata.get("key") != MEMORY
    )


MEMORY = "(in memory only)"  # the key of fields that are not stored


def _without_none(kind: Any) -> Any:
    kinds = [k for k in typing.get_args(kind) if k is not NoneType]
    return kinds[0] if NoneType in typing.get_args(kind) else kind


def _read(kind: Any, value: Any, where: str) -> Any:
    """A value of a type such as `dict[str, float | None]`."""
    parts = typing.get_args(kind)
    if NoneType in parts:
        if value is None:
            return None
        kind, nor = _without_none(kind), True
        parts = typing.get_args(kind)
    else:
        nor = False
    if kind is Any:
        return value
    if kind in _WORDS:
        if not is_a(kind, value):
            words = f"neither {_WORDS[kind]} nor null" if nor else f"not {_WORDS[kind]}"
            raise RecordFault(f"{where} is {value!r}, {words}")
        return value
    origin = typing.get_origin(kind)
    if origin is dict:
        if not isinstance(value, dict):
            raise RecordFault(f"{where} is not an object{' or null' * nor}")
        return {key: _read(parts[1], entry, f"{where}.{key}") for key, entry in value.items()}
    if origin is list:
        if not isinstance(value, list):
            raise RecordFault(f"{where} is not a list{' or null' * nor}")
        return [_read(parts[0], entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    if origin is tuple:
        if not (isinstance(value, list) and len(value) == len(parts)) or not all(
            map(is_a, parts, value)
        ):
            raise RecordFault(f"{where} is {value!r}, neither [low, high] nor null")
        return tuple(value)
    if nor and not isinstance(value, dict):
        raise RecordFault(f"{where} is neither an object nor null")
    return kind.from_json(value, where)


def is_a(kind: type, value: Any) -> bool:
    """Whether a value is of one of the plain types; numbers are finite, whole ones are floats."""
    if kind in (int, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) < math.inf
    return isinstance(value, kind)


def _written(value: Any) -> Any:
    if isinstance(value, Stored):
        return value.to_json()
    if isinstance(value, dict):
        return {key: _written(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_written(entry) for entry in value]
    return value
