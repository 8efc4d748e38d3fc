import json
from typing import Any

import pytest

from infra.local.filters import parse_filters, passes
from infra.local.functions import MAX_EVENT_BYTES, InvokeResult
from infra.local.source import failed_items, fitting_batches

BATCH = ("a", "b", "c")
RECORD = {"eventName": "INSERT", "dynamodb": {"NewImage": {"state": {"S": "escalated"}, "tags": {"SS": ["x", "y"]}}}}


def _result(answer: Any, *, is_error: bool = False) -> InvokeResult:
    return InvokeResult("id", json.dumps(answer).encode(), is_error=is_error, duration_ms=1.0, init_ms=None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, set()),
        ({}, set()),
        ({"batchItemFailures": None}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, {"b"}),
        ({"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "unknown"}]}, set(BATCH)),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, set(BATCH)),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, set(BATCH)),
        ({"batchItemFailures": [{"messageId": "b"}]}, set(BATCH)),
        ({"batchItemFailures": "b"}, set(BATCH)),
        ("done", set(BATCH)),
    ],
)
def test_reported_failures_are_read_by_lambdas_rules(answer: Any, expected: set[str]) -> None:
    """An empty report is success; a report that cannot be right fails the whole batch."""
    assert expected == failed_items(_result(answer), BATCH, reports=True)


def test_an_error_fails_the_whole_batch() -> None:
    """A function error counts for every item, whether the mapping has reports or not."""
    error = _result({"errorType": "ValueError"}, is_error=True)

    assert (set(BATCH), set(BATCH)) == tuple(failed_items(error, BATCH, reports=reports) for reports in (True, False))


def test_without_reports_the_answer_is_not_read() -> None:
    """A mapping without ReportBatchItemFailures succeeds with whatever the function returns."""
    answer = _result({"batchItemFailures": [{"itemIdentifier": "b"}]})

    assert set() == failed_items(answer, BATCH, reports=False)


def test_batches_stay_below_lambdas_limit() -> None:
    """Records are cut into runs, in order, each of which fits one event."""
    records = [{"number": number, "pad": "x" * 2_500_000} for number in range(5)]
    batches = list(fitting_batches(records))

    assert records == [record for batch in batches for record in batch]
    assert all(len(json.dumps({"Records": batch})) <= MAX_EVENT_BYTES for batch in batches)
    assert [2, 2, 1] == [len(batch) for batch in batches]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"eventName": ["INSERT", "MODIFY"]}, True),
        ({"eventName": ["REMOVE"]}, False),
        ({"eventName": [{"prefix": "INS"}]}, True),
        ({"eventName": [{"prefix": "SERT"}]}, False),
        ({"dynamodb": {"NewImage": {"state": {"S": ["escalated"]}}}}, True),
        ({"dynamodb": {"NewImage": {"state": {"S": ["running"]}}}}, False),
        ({"eventName": ["INSERT"], "dynamodb": {"NewImage": {"state": {"S": ["running"]}}}}, False),
        ({"dynamodb": {"OldImage": {"state": {"S": ["escalated"]}}}}, False),
        ({"dynamodb": {"NewImage": {"tags": {"SS": ["y"]}}}}, True),
        ({"dynamodb": {"NewImage": {"state": {"N": [{"exists": False}]}}}}, True),
        ({"dynamodb": {"NewImage": {"state": {"S": [{"exists": False}]}}}}, False),
        ({"eventName": {"deeper": ["INSERT"]}}, False),
    ],
)
def test_a_pattern_matches_when_all_its_keys_do(pattern: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table's column
    """Rules in a list are alternatives, keys are conditions that all hold."""
    filters = parse_filters({"Filters": [{"Pattern": json.dumps(pattern)}]})

    assert expected == passes(filters, RECORD)


def test_filters_are_alternatives_and_none_passes_all() -> None:
    """One matching pattern is enough; without patterns every record passes."""
    patterns = [{"Pattern": '{"eventName": ["REMOVE"]}'}, {"Pattern": '{"eventName": ["INSERT"]}'}]

    assert passes(parse_filters({"Filters": patterns}), RECORD)
    assert passes(parse_filters(None), RECORD)
