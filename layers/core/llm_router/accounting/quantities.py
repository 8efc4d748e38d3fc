"""What a request uses of the platform, in the units that the platform bills."""

from typing import Final

from msgspec import Struct


class Quantities(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Amounts that have a price each; integers, so that they add up exactly."""

    lambda_mb_ms: int = 0
    """Memory of functions x the time they ran; 1,024,000 of them are a GB-second."""
    lambda_requests: int = 0
    read_request_milliunits: int = 0
    """Thousandths of DynamoDB's read request units, of which an eventually consistent read of 4 KB takes half a one."""
    write_request_milliunits: int = 0
    """Thousandths of DynamoDB's write request units."""
    vector_search_bytes: int = 0
    """Of the vector index, as examined and returned by searches."""
    vector_write_bytes: int = 0
    """Written to the vector index."""
    gateway_requests: int = 0
    """Of the HTTP API."""
    queue_requests: int = 0
    """Sent to SQS: a message costs one to send, one to receive and one to delete."""

    def __add__(self, other: "Quantities") -> "Quantities":
        """Return both together."""
        return Quantities(**{name: getattr(self, name) + getattr(other, name) for name in QUANTITIES})


QUANTITIES: Final = Quantities.__struct_fields__
"""Names of the amounts, of the counters that add them up, and of their prices."""
