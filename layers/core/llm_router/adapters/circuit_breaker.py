"""The circuit breaker, one item of the status table; no item is a closed circuit without failures.

Powertools has a breaker over DynamoDB, and this is not it (3.37.0, read and run): its probe's lease is its recovery
time, so with answers that outlast 30 s it lets a second, third and fourth probe in beside the first; it counts
failures in each environment's memory, where they end with the environment; it wraps a function that returns, while an
answer here is a stream; and it takes the time from the system, in whole seconds.
"""

import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from llm_router.adapters.dynamodb import from_item, is_written, store_errors, to_item
from llm_router.breaker import Admission
from llm_router.errors import ModelUnavailableError
from llm_router.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FAILURES_TO_OPEN: Final = 5
OPEN_MS: Final = 30_000

_TTL_SECONDS: Final = 24 * 3600
_CLOSED: Final = "attribute_not_exists(refused_until_ms)"
_MY_PROBE: Final = "probe = :probe"


class _Circuit(Struct, frozen=True):
    """What the item says."""

    failures: int = 0
    refused_until_ms: int | None = None
    """End of the pause, or of the probe's lease; absent while the circuit is closed."""
    probe: str | None = None
    """Id of the call that was let through; absent unless the circuit is half open."""


class DynamoBreaker:
    """Breaker over one item of a table with key `name`.

    A call costs one read before it, and one write after it. A probe whose lease is over, and which has been replaced,
    cannot change the circuit any more.

    Args:
        client: DynamoDB.
        table: Its table.
        server: Name of what is called; every server has a circuit of its own.
        clock: Milliseconds since the epoch.
        probe_lease_ms: How long a probe may take before another one replaces it; as long as its function may run.
        failures_to_open: How many failures in a row open the circuit.
        open_ms: How long nobody is let through then.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        server: str,
        clock: Clock,
        probe_lease_ms: int,
        failures_to_open: int = FAILURES_TO_OPEN,
        open_ms: int = OPEN_MS,
    ) -> None:
        self._client = client
        self._table = table
        self._server = server
        self._key = to_item({"name": f"breaker#{server}"})
        self._clock = clock
        self._failures_to_open = failures_to_open
        self._open_ms = open_ms
        self._probe_lease_ms = probe_lease_ms

    def check(self) -> Admission:
        """Return leave to call, or raise ModelUnavailableError; see `Breaker`."""
        circuit = self._read(consistent=True)
        if circuit.refused_until_ms is None:
            return Admission()
        wait_ms = self._wait_ms(circuit)
        if not wait_ms:
            probe = uuid.uuid4().hex
            if self._become_probe(probe, seen=circuit.refused_until_ms):
                return Admission(probe)
        error = ModelUnavailableError(f"The {self._server} server has failed too often and is left alone for a while.")
        error.retry_after_ms = wait_ms or self._open_ms
        raise error

    def succeeded(self, admission: Admission) -> None:  # noqa: ARG002 - any success shows that the server works
        """Close the circuit; see `Breaker`."""
        with store_errors("closing the circuit"):
            self._client.delete_item(TableName=self._table, Key=self._key)

    def failed(self, admission: Admission) -> None:
        """Count the failure, or open the circuit; see `Breaker`."""
        until_ms = self._clock() + self._open_ms
        if admission.probe is not None:
            pause = "refused_until_ms = :until REMOVE probe"
            self._update(pause, _MY_PROBE, until=until_ms, probe=admission.probe)
        elif self._update("failures = if_not_exists(failures, :none) + :one", _CLOSED, none=0, one=1):
            limit = f"{_CLOSED} AND failures >= :limit"
            self._update("refused_until_ms = :until", limit, until=until_ms, limit=self._failures_to_open)

    def abandoned(self, admission: Admission) -> None:
        """Let the next call be the probe; see `Breaker`."""
        if admission.probe is not None:
            release = "refused_until_ms = :now REMOVE probe"
            self._update(release, _MY_PROBE, now=self._clock(), probe=admission.probe)

    def retry_after_ms(self) -> int | None:
        """Return how long calls will be refused, out of one cheap read; see `Breaker`."""
        return self._wait_ms(self._read(consistent=False)) or None

    def _become_probe(self, probe: str, *, seen: int) -> bool:
        until_ms = self._clock() + self._probe_lease_ms
        # The SDK sends an update again when its answer is lost; the second must not be beaten by the first.
        free = f"refused_until_ms = :seen OR {_MY_PROBE}"
        return self._update("refused_until_ms = :until, probe = :probe", free, until=until_ms, probe=probe, seen=seen)

    def _wait_ms(self, circuit: _Circuit) -> int:
        """Return 0 when a call may be let through; the end of a running probe is unknown, but likely soon."""
        wait_ms = max(0, (circuit.refused_until_ms or 0) - self._clock())
        return min(wait_ms, self._open_ms) if circuit.probe else wait_ms

    def _read(self, *, consistent: bool) -> _Circuit:
        with store_errors("reading the circuit"):
            answer = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=consistent)
        return msgspec.convert(from_item(answer.get("Item", {})), _Circuit)

    def _update(self, changes: str, condition: str, **values: Any) -> bool:
        """Set `changes` if the condition holds, and tell whether it did."""
        values["expires_at"] = self._clock() // 1000 + _TTL_SECONDS
        return is_written(
            "changing the circuit",
            lambda: self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression=f"SET expires_at = :expires_at, {changes}",
                ConditionExpression=condition,
                ExpressionAttributeValues=to_item({f":{name}": value for name, value in values.items()}),
            ),
        )
