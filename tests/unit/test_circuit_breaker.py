"""The circuit breaker in DynamoDB, against moto with the table of the template."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.local.intrinsics import load_yaml
from llm_router.adapters.circuit_breaker import DynamoBreaker
from llm_router.breaker import Admission
from llm_router.errors import ModelUnavailableError, StoreError
from tests.fakes import NOW_MS, SettableClock

if TYPE_CHECKING:
    from llm_router.breaker import Breaker

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
TABLE = "status"
OPEN_MS = 30_000
LEASE_MS = 300_000


@pytest.fixture(name="dynamodb")
def dynamodb_with_table() -> Iterator[Any]:
    properties = load_yaml(TEMPLATE)["Resources"]["StatusTable"]["Properties"]
    names = ("AttributeDefinitions", "KeySchema", "BillingMode")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(TableName=TABLE, **{name: properties[name] for name in names})
        yield client


@pytest.fixture(name="clock")
def settable_clock() -> SettableClock:
    return SettableClock()


def breaker(dynamodb: Any, clock: SettableClock, server: str = "ollama") -> "Breaker":
    return DynamoBreaker(dynamodb, TABLE, server=server, clock=clock, probe_lease_ms=300_000)


def item(dynamodb: Any) -> dict[str, Any] | None:
    found: dict[str, Any] | None = dynamodb.get_item(TableName=TABLE, Key={"name": {"S": "breaker#ollama"}}).get("Item")
    return found


def fail(each: "Breaker", times: int) -> None:
    for _ in range(times):
        each.failed(each.check())


def refused(each: "Breaker") -> int | None:
    with pytest.raises(ModelUnavailableError) as caught:
        each.check()
    return caught.value.retry_after_ms


def test_closed_circuit_lets_calls_through(dynamodb: Any, clock: SettableClock) -> None:
    """Nothing is known at first, and no failure is no reason to wait."""
    each = breaker(dynamodb, clock)

    assert (each.check(), each.retry_after_ms()) == (Admission(), None)


def test_failures_in_a_row_open_the_circuit_for_everybody(dynamodb: Any, clock: SettableClock) -> None:
    """Failures of different environments count together; after the fifth, each is refused for half a minute."""
    one, other = breaker(dynamodb, clock), breaker(dynamodb, clock)
    fail(one, 2)
    fail(other, 2)
    before = one.retry_after_ms()
    fail(other, 1)

    assert (before, one.retry_after_ms(), refused(one), refused(other)) == (None, OPEN_MS, OPEN_MS, OPEN_MS)
    clock.advance(OPEN_MS - 1)
    assert refused(one) == 1


def test_success_begins_the_count_anew(dynamodb: Any, clock: SettableClock) -> None:
    """Four failures, a success and four failures are no five in a row."""
    each = breaker(dynamodb, clock)
    fail(each, 4)
    each.succeeded(each.check())
    fail(each, 4)

    assert each.check() == Admission()


def test_calls_given_up_do_not_count(dynamodb: Any, clock: SettableClock) -> None:
    """A caller that goes away says nothing about the server."""
    each = breaker(dynamodb, clock)
    fail(each, 4)
    each.abandoned(each.check())
    fail(each, 1)

    assert refused(each) == OPEN_MS


def test_open_circuit_lets_one_probe_through_after_a_while(dynamodb: Any, clock: SettableClock) -> None:
    """The first call after the pause is the probe; the others are refused for as long as it runs."""
    one, other = breaker(dynamodb, clock), breaker(dynamodb, clock)
    fail(one, 5)
    clock.advance(OPEN_MS)
    may_come = other.retry_after_ms()
    probe = one.check()

    assert may_come is None
    assert probe.probe is not None
    assert (refused(other), refused(one), other.retry_after_ms()) == (OPEN_MS, OPEN_MS, OPEN_MS)
    clock.advance(LEASE_MS - 1)
    assert refused(other) == 1


def test_successful_probe_closes_the_circuit(dynamodb: Any, clock: SettableClock) -> None:
    """After one success everybody may call, and five more failures are needed to open it."""
    each = breaker(dynamodb, clock)
    fail(each, 5)
    clock.advance(OPEN_MS)
    each.succeeded(each.check())
    fail(each, 4)

    assert each.check() == Admission()


def test_failed_probe_opens_the_circuit_again(dynamodb: Any, clock: SettableClock) -> None:
    """One failure of the probe is another pause, which hearing of it twice does not prolong, and then another probe."""
    each = breaker(dynamodb, clock)
    fail(each, 5)
    clock.advance(OPEN_MS)
    probe = each.check()
    each.failed(probe)
    clock.advance(1)
    each.failed(probe)
    pause_ms = refused(each)
    clock.advance(OPEN_MS - 1)

    assert pause_ms == OPEN_MS - 1
    assert each.check().probe is not None


def test_probe_given_up_makes_way_for_the_next(dynamodb: Any, clock: SettableClock) -> None:
    """A probe whose caller went away found out nothing; the next call finds out at once."""
    each = breaker(dynamodb, clock)
    fail(each, 5)
    clock.advance(OPEN_MS)
    each.abandoned(each.check())
    clock.advance(1)

    assert (each.retry_after_ms(), each.check().probe is not None) == (None, True)


def test_probe_that_never_reports_is_replaced(dynamodb: Any, clock: SettableClock) -> None:
    """A killed worker's probe holds the circuit for its lease; what it reports later, if it lives, changes nothing."""
    each = breaker(dynamodb, clock)
    fail(each, 5)
    clock.advance(OPEN_MS)
    lost = each.check()
    clock.advance(LEASE_MS)
    probe = each.check()
    before = item(dynamodb)
    each.failed(lost)
    each.abandoned(lost)

    assert probe.probe is not None
    assert item(dynamodb) == before
    each.succeeded(probe)
    assert item(dynamodb) is None


def test_late_failure_of_an_ordinary_call_does_not_prolong_the_pause(dynamodb: Any, clock: SettableClock) -> None:
    """A call that was let through before the circuit opened cannot move the end of the pause, nor end a probe."""
    each = breaker(dynamodb, clock)
    late = each.check()
    fail(each, 5)
    clock.advance(OPEN_MS - 1)
    each.failed(late)
    pause_ms = refused(each)
    clock.advance(1)
    each.check()
    probing = item(dynamodb)
    each.failed(late)

    assert (pause_ms, item(dynamodb)) == (1, probing)


def test_servers_have_circuits_of_their_own(dynamodb: Any, clock: SettableClock) -> None:
    """A dead box does not close the way to the cloud."""
    fail(breaker(dynamodb, clock), 5)

    assert breaker(dynamodb, clock, "cloud").check() == Admission()


def test_item_expires(dynamodb: Any, clock: SettableClock) -> None:
    """A circuit nobody uses any more is forgotten after a day."""
    fail(breaker(dynamodb, clock), 1)

    found = item(dynamodb)
    assert found is not None
    assert found["expires_at"] == {"N": str(NOW_MS // 1000 + 24 * 3600)}


class RacingClient:
    """A client whose two users both read before either writes; every single operation is atomic, as in DynamoDB."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._both_have_read = threading.Barrier(2, timeout=10)

    def get_item(self, **request: Any) -> Any:
        """Read, then wait until the other has read too."""
        with self._lock:
            answer = self._client.get_item(**request)
        self._both_have_read.wait()
        return answer

    def update_item(self, **request: Any) -> Any:
        """Write, one at a time."""
        with self._lock:
            return self._client.update_item(**request)


@pytest.mark.parametrize("race", range(5))
def test_two_workers_that_race_for_the_probe_have_one_winner(race: int, dynamodb: Any, clock: SettableClock) -> None:
    """Both find the pause over at the same moment; one is let through, the other is told to wait."""
    fail(breaker(dynamodb, clock), 5)
    clock.advance(OPEN_MS)
    racing = RacingClient(dynamodb)

    def run(_: int) -> str | int | None:
        try:
            return breaker(racing, clock).check().probe
        except ModelUnavailableError as error:
            return error.retry_after_ms

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(run, range(2)))

    found = item(dynamodb)
    assert found is not None
    assert {OPEN_MS, found["probe"]["S"]} == set(outcomes)


class RepeatingClient:
    """A client that sends every update twice, as the SDK does when the first answer is lost."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.get_item = client.get_item

    def update_item(self, **request: Any) -> Any:
        """Write twice; the second answer is the one that arrives."""
        self._client.update_item(**request)
        return self._client.update_item(**request)


def test_probe_knows_itself_when_the_answer_to_its_claim_is_lost(dynamodb: Any, clock: SettableClock) -> None:
    """A claim that is repeated does not find the circuit taken by itself, which would refuse everybody for a lease."""
    fail(breaker(dynamodb, clock), 5)
    clock.advance(OPEN_MS)

    assert breaker(RepeatingClient(dynamodb), clock).check().probe is not None


def test_failing_table_is_a_failed_store(dynamodb: Any, clock: SettableClock) -> None:
    """Without its table the breaker says so, whatever it is asked."""
    dynamodb.delete_table(TableName=TABLE)
    each = breaker(dynamodb, clock)

    for action in (each.check, each.retry_after_ms):
        with pytest.raises(StoreError) as caught:
            action()
        assert isinstance(caught.value.__cause__, ClientError)
    for report in (each.succeeded, each.failed):
        with pytest.raises(StoreError):
            report(Admission())
    with pytest.raises(StoreError):
        each.abandoned(Admission("probe"))
