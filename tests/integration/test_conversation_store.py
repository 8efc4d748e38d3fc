"""One suite for the conversations in the job table and for their stand-in, so that the stand-in cannot drift."""

import pytest
from msgspec.structs import replace

from llm_router.adapters.dynamodb_conversations import CONVERSATION_TTL_SECONDS, DynamoConversationStore
from llm_router.adapters.dynamodb_jobs import DynamoJobStore
from llm_router.errors import NotFoundError, StoreError
from llm_router.models import Conversation, Turn
from llm_router.ports import ConversationStore
from tests.fakes import NOW_MS, FakeConversationStore, SettableClock
from tests.integration.conftest import Cloud

NEW = Conversation(tenant="acme", conversation_id="c")
TURNS = (Turn("What is Python?", "A language.\n“Ünïcode”"), Turn("Since when?", "1991."))


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest, clock: SettableClock) -> ConversationStore:
    """Run every case on both stores."""
    if request.param == "fake":
        return FakeConversationStore(clock)
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoConversationStore(cloud.dynamodb, job_table="JobTable", clock=clock)


def test_unknown(store: ConversationStore) -> None:
    """A conversation that nobody has begun has a name and nothing else."""
    assert NEW == store.get("acme", "c")


def test_claim(store: ConversationStore) -> None:
    """A claim writes the turns, to the letter, and who came last, and when."""
    claimed = store.claim(replace(NEW, turns=TURNS), "one")
    kept = store.get("acme", "c")

    assert claimed
    assert replace(NEW, turns=TURNS, last_job="one", claims=1, claimed_at_ms=NOW_MS) == kept


def test_one_of_two_at_once(store: ConversationStore) -> None:
    """Of two who read the same state only the first can claim, at the beginning of a conversation and later."""
    first, second = store.claim(NEW, "one"), store.claim(NEW, "two")
    kept = store.get("acme", "c")
    third, fourth = store.claim(kept, "three"), store.claim(replace(kept, turns=TURNS), "four")

    assert [True, False, True, False] == [first, second, third, fourth]
    assert ("three", ()) == (store.get("acme", "c").last_job, store.get("acme", "c").turns)


def test_repeated_claim(store: ConversationStore) -> None:
    """The same request may claim again, with what it read before its first claim or after it."""
    claims = [store.claim(NEW, "one"), store.claim(NEW, "one"), store.claim(store.get("acme", "c"), "one")]

    assert [True] * 3 == claims
    assert "one" == store.get("acme", "c").last_job


def test_late_claim(store: ConversationStore) -> None:
    """Who comes with a state of long ago is refused, although nobody is in the way any more."""
    for job_id in ("one", "two"):
        store.claim(store.get("acme", "c"), job_id)
    store.release(NEW, "two")

    assert not store.claim(NEW, "three")


def test_release(store: ConversationStore) -> None:
    """A claim that is given back leaves the turns; only whose it is can do that, and the next can claim."""
    store.claim(replace(NEW, turns=TURNS), "one")
    store.release(NEW, "two")
    held = store.get("acme", "c")
    store.release(NEW, "one")
    released = store.get("acme", "c")

    assert "one" == held.last_job
    assert (None, TURNS) == (released.last_job, released.turns)
    assert store.claim(released, "two")


def test_release_of_nothing(store: ConversationStore) -> None:
    """There may be nothing to give back."""
    store.release(NEW, "one")

    assert NEW == store.get("acme", "c")


def test_conversations_are_apart(store: ConversationStore) -> None:
    """Tenants and ids are told apart to the letter, wherever one ends and the other begins."""
    names = [("acme", "c"), ("acme", "C"), ("acmec", ""), ("other", "c")]
    for number, (tenant, conversation_id) in enumerate(names):
        store.claim(Conversation(tenant=tenant, conversation_id=conversation_id), str(number))

    assert ["0", "1", "2", "3"] == [store.get(*name).last_job for name in names]


def test_a_day_after_the_last_request(store: ConversationStore, clock: SettableClock) -> None:
    """A conversation is kept for a day from its last request, and then begins anew."""
    store.claim(replace(NEW, turns=TURNS), "one")
    clock.advance(CONVERSATION_TTL_SECONDS * 1000 - 1)
    store.claim(store.get("acme", "c"), "two")
    clock.advance(CONVERSATION_TTL_SECONDS * 1000 - 1000)
    kept = store.get("acme", "c")
    clock.advance(1000)

    assert (TURNS, "two") == (kept.turns, kept.last_job)
    assert NEW == store.get("acme", "c")
    assert store.claim(NEW, "three")


def test_item_in_the_table(cloud: Cloud, clock: SettableClock) -> None:
    """The item has neither the id nor the tenant in clear, expires by itself, and is no request."""
    store = DynamoConversationStore(cloud.dynamodb, job_table="JobTable", clock=clock)
    store.claim(Conversation(tenant="acme", conversation_id="secret"), "one")
    (item,) = cloud.dynamodb.scan(TableName="JobTable")["Items"]
    jobs = DynamoJobStore(cloud.dynamodb, job_table="JobTable", usage_table="UsageTable", clock=clock)

    assert {"job_id", "turns", "last_job", "claims", "claimed_at_ms", "expires_at"} == set(item)
    assert str(NOW_MS // 1000 + CONVERSATION_TTL_SECONDS) == item["expires_at"]["N"]
    assert not {"acme", "secret"} & set(str(item).split("'"))
    with pytest.raises(NotFoundError):
        jobs.get(item["job_id"]["S"])


def test_missing_table(cloud: Cloud, clock: SettableClock) -> None:
    """What the SDK raises is a StoreError that does not tell the id."""
    store = DynamoConversationStore(cloud.dynamodb, job_table="nowhere", clock=clock)
    with pytest.raises(StoreError, match=r"^reading a conversation failed$"):
        store.get("acme", "secret")
    with pytest.raises(StoreError, match=r"^claiming a conversation failed$"):
        store.claim(NEW, "one")
    with pytest.raises(StoreError, match=r"^releasing a conversation failed$"):
        store.release(NEW, "one")
