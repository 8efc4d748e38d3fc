"""What the fields of the API mean, in the words that stand under them where they are declared."""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec


def field_meanings(kinds: Sequence[Any]) -> dict[str, dict[str, str]]:
    """Return the docstrings of fields, by the name of the struct and of the field, for all that `kinds` are made of.

    Python drops a docstring under a field, so they are read from the source.
    """
    classes = {each for info in msgspec.inspect.multi_type_info(kinds) for each in _classes(info)}
    return {each.__name__: _meanings(each) for each in classes}


def _classes(info: Any) -> Iterator[type]:
    if isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
        if isinstance(info, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
            yield info.cls
        for name in info.__struct_fields__:
            yield from _classes(getattr(info, name))
    elif isinstance(info, tuple):
        for each in info:
            yield from _classes(each)


def _meanings(kind: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base not in {object, *msgspec.Struct.__mro__}:
            found |= _documented(base.__module__).get(base.__name__, {})
    return found


@lru_cache
def _documented(module: str) -> Mapping[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {each.name: _of_class(each) for each in tree.body if isinstance(each, ast.ClassDef)}


def _of_class(declared: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, after in zip(declared.body, declared.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                found[name] = inspect.cleandoc(text)
    return found
