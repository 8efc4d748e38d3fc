"""Ids of batches and their lines, and messages that bring prompts through a queue."""

import pytest

from llm_router.batching.batches import PromptMessage, is_batch_id, line_job_id, new_batch_id
from llm_router.errors import InvalidRequestError
from llm_router.jobs import usage_record
from llm_router.models import Delivery, Lane, Source, is_request_id
from llm_router.validation import parse_json
from tests.builders import make_job

BATCH_ID = "batch_" + "0" * 32


def test_batch_id() -> None:
    """A new batch has an id of its own."""
    one, other = new_batch_id(), new_batch_id()

    assert is_batch_id(one)
    assert one != other
    assert not is_batch_id("req_" + "0" * 32)


def test_line_job_id() -> None:
    """A line's request always has the same id, which looks like any request's, and another in every place."""
    places = [(BATCH_ID, 1), (BATCH_ID, 11), (BATCH_ID, 2), ("batch_" + "1" * 32, 1)]
    ids = [line_job_id(*place) for place in places]

    assert all(map(is_request_id, ids))
    assert 4 == len(set(ids))
    assert ids == [line_job_id(*place) for place in places]


def test_message() -> None:
    """A message is a chat request with what goes with its answer."""
    body = f'{{"message": "Hi", "batch_id": "{BATCH_ID}", "line": 3, "custom_id": "a-3"}}'
    message = parse_json(body.encode(), PromptMessage)

    assert Delivery(batch_id=BATCH_ID, line=3, custom_id="a-3") == message.delivery


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ('{"message": "Hi", "line": 3}', "batch_id", "is required with `line`"),
        (
            '{"message": "Hi", "force_tier": "simple", "force_model": "a"}',
            "force_tier",
            "must not come with `force_model`",
        ),
        (
            '{"message": "Hi", "conversation_id": "c"}',
            "conversation_id",
            "must not come through a queue; `history` may",
        ),
        (f'{{"message": "Hi", "batch_id": "{BATCH_ID}", "line": 1{"0" * 40}}}', "line", "must be at most 999,999"),
        (f'{{"message": "Hi", "batch_id": "{BATCH_ID}"}}', "line", "is required with `batch_id`"),
        ('{"message": "Hi", "batch_id": "mine", "line": 1}', "batch_id", "must be the id of a batch"),
        ('{"message": "Hi", "custom_id": "a b"}', "custom_id", "must be 1 to 128 visible characters of ASCII"),
        ('{"message": "Hi", "lane": "interactive"}', "lane", "is not a known field"),
    ],
)
def test_bad_message(body: str, field: str, rule: str) -> None:
    """A message that breaks a rule is refused with the field and the rule."""
    with pytest.raises(InvalidRequestError) as error:
        parse_json(body.encode(), PromptMessage)

    assert (field, rule) == (error.value.field, str(error.value))


@pytest.mark.parametrize(
    ("source", "lane"),
    [
        (Source.HTTP, Lane.INTERACTIVE),
        (Source.INVOKE, Lane.INTERACTIVE),
        (Source.SQS, Lane.BATCH),
        (Source.BATCH, Lane.BATCH),
    ],
)
def test_lane(source: Source, lane: Lane) -> None:
    """What came through a queue lets those go first who wait."""
    assert lane is make_job(source=source).lane


def test_usage_names_the_batch() -> None:
    """The usage record of a line says which batch it is of."""
    job = make_job(source=Source.BATCH, delivery=Delivery(batch_id=BATCH_ID, line=1))

    assert BATCH_ID == usage_record(job).batch_id
