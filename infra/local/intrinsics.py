"""YAML with CloudFormation's tags, and what the tags mean in the twin."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

NO_VALUE: Final = object()
_SUB_PLACEHOLDER: Final = re.compile(r"\$\{(!?)([^}]+)\}")


class TemplateError(ValueError):
    """The template holds something the twin cannot run; the message says where."""


@dataclass(frozen=True)
class Intrinsic:
    """One call of an intrinsic function: long name, argument, and the file and line it stands on."""

    name: str
    argument: Any
    place: str


class _Loader(yaml.SafeLoader):
    """SafeLoader that keeps intrinsic functions, short and long form, as `Intrinsic` objects."""


def _place(node: yaml.Node) -> str:
    return f"{Path(node.start_mark.name).name}:{node.start_mark.line + 1}"


def _construct_tag(loader: _Loader, suffix: str, node: yaml.Node) -> Intrinsic:
    argument: Any
    if isinstance(node, yaml.ScalarNode):
        argument = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        argument = loader.construct_sequence(node, deep=True)
    else:
        argument = loader.construct_object(node, deep=True)
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    return Intrinsic(name, argument, _place(node))


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    mapping = loader.construct_mapping(node, deep=True)
    if len(mapping) == 1:
        name, argument = next(iter(mapping.items()))
        if name == "Ref" or str(name).startswith("Fn::"):
            return Intrinsic(str(name), argument, _place(node))
    return mapping


_Loader.add_multi_constructor("!", _construct_tag)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a template; intrinsic functions come back as `Intrinsic`, unresolved.

    Raises:
        TemplateError: The file is not YAML, or is not a mapping.
    """
    with path.open(encoding="utf-8") as stream:
        try:
            document = yaml.load(stream, Loader=_Loader)  # noqa: S506 - a SafeLoader with constructors of our own
        except yaml.YAMLError as error:
            raise TemplateError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise TemplateError(f"{path} is not a template: its top level is no mapping")
    return document


def as_text(value: object) -> str:
    """Write a scalar as CloudFormation hands it on: booleans in lower case, the rest as `str`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Resolver:
    """Replaces intrinsic functions by values, only where the twin asks for them.

    Args:
        names: What `Ref` gives: parameters, pseudo parameters, logical ids.
        attributes: What `Fn::GetAtt` gives, by `LogicalId.Attribute`.
        conditions: The template's `Conditions`, unresolved.
    """

    def __init__(self, names: Mapping[str, Any], attributes: Mapping[str, str], conditions: Mapping[str, Any]) -> None:
        self._names = names
        self._attributes = attributes
        self._conditions = conditions
        self._functions: dict[str, Callable[[Any, str], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": lambda argument, _: argument[0].join(as_text(part) for part in self.resolve(argument[1])),
            "Fn::If": self._if,
            "Fn::Equals": lambda argument, _: as_text(self.resolve(argument[0])) == as_text(self.resolve(argument[1])),
            "Fn::Not": lambda argument, _: not self.resolve(argument[0]),
            "Fn::And": lambda argument, _: all(self.resolve(part) for part in argument),
            "Fn::Or": lambda argument, _: any(self.resolve(part) for part in argument),
            "Condition": self.condition,
        }

    def resolve(self, value: Any) -> Any:
        """Give the value with every intrinsic function inside replaced; `AWS::NoValue` entries vanish.

        Raises:
            TemplateError: A name is unknown or a function is not supported; the message names the line.
        """
        if isinstance(value, Intrinsic):
            function = self._functions.get(value.name)
            if function is None:
                raise TemplateError(f"{value.place}: the twin does not know {value.name}")
            return function(value.argument, value.place)
        if isinstance(value, dict):
            resolved = {key: self.resolve(item) for key, item in value.items()}
            return {key: item for key, item in resolved.items() if item is not NO_VALUE}
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NO_VALUE]
        return value

    def condition(self, name: str, place: str) -> bool:
        """Say whether a named condition of the template holds."""
        if name not in self._conditions:
            raise TemplateError(f"{place}: no condition is called {name}")
        return bool(self.resolve(self._conditions[name]))

    def _ref(self, name: str, place: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name not in self._names:
            raise TemplateError(f"{place}: {name} is no resource, and no parameter with a default or a value")
        return self._names[name]

    def _get_att(self, argument: str | list[str], place: str) -> str:
        name = argument if isinstance(argument, str) else ".".join(argument)
        if name not in self._attributes:
            raise TemplateError(f"{place}: the twin has no value for {name}")
        return self._attributes[name]

    def _sub(self, argument: str | list[Any], place: str) -> str:
        text, extra = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))

        def value_of(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in extra:
                return as_text(extra[name])
            return as_text(self._get_att(name, place) if "." in name else self._ref(name, place))

        return _SUB_PLACEHOLDER.sub(value_of, text)

    def _if(self, argument: list[Any], place: str) -> Any:
        name, when_true, when_false = argument
        return self.resolve(when_true if self.condition(name, place) else when_false)
