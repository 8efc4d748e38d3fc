"""Event filter patterns of an event source mapping: exact values, `prefix` and `exists`.

A record passes when any pattern matches; a pattern matches when all its keys do. A list of rules means "any of them".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from infra.local.intrinsics import TemplateError

_OPERATORS: Final = {"prefix", "exists"}


def parse_filters(criteria: Mapping[str, Any] | None) -> tuple[dict[str, Any], ...]:
    """Read `FilterCriteria`.

    Raises:
        TemplateError: A pattern is not JSON or uses an operator the twin does not have.
    """
    patterns = []
    for entry in (criteria or {}).get("Filters", ()):
        try:
            pattern = json.loads(entry["Pattern"])
        except ValueError as error:
            raise TemplateError(f"filter pattern {entry['Pattern']!r} is not JSON: {error}") from error
        _check(pattern)
        patterns.append(pattern)
    return tuple(patterns)


def passes(filters: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> bool:
    """Say whether a record reaches the function; without filters every record does."""
    return not filters or any(_matches(pattern, record) for pattern in filters)


def _check(pattern: Any) -> None:
    if isinstance(pattern, dict):
        for value in pattern.values():
            _check(value)
    elif isinstance(pattern, list):
        for rule in pattern:
            if isinstance(rule, dict) and not rule.keys() <= _OPERATORS:
                raise TemplateError(f"the twin's filters know {sorted(_OPERATORS)} and exact values, not {rule}")
    else:
        raise TemplateError(f"a filter pattern ends in a list of rules, not in {pattern!r}")


def _matches(pattern: Mapping[str, Any], record: object) -> bool:
    if not isinstance(record, Mapping):
        return False
    return all(
        any(_rule_matches(rule, record, key) for rule in rules)
        if isinstance(rules, list)
        else _matches(rules, record.get(key))
        for key, rules in pattern.items()
    )


def _rule_matches(rule: object, record: Mapping[str, Any], key: str) -> bool:
    if isinstance(rule, dict) and "exists" in rule:
        return (key in record) is rule["exists"]
    if key not in record:
        return False
    values = record[key] if isinstance(record[key], list) else [record[key]]
    if isinstance(rule, dict):
        return any(isinstance(value, str) and value.startswith(rule["prefix"]) for value in values)
    return any(type(value) is type(rule) and value == rule for value in values)
