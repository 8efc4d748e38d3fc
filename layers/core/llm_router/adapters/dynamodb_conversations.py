"""The items of the job table that keep conversations."""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from llm_router.adapters.dynamodb import from_item, is_written, store_errors, to_item
from llm_router.models import Conversation, Turn
from llm_router.ports import Clock
from llm_router.prompt import sha256_hex

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONVERSATION_TTL_SECONDS: Final = 24 * 3600
"""As long as a job lives, and begun no later: a conversation never outlives its last request."""


class DynamoConversationStore:
    """ConversationStore over the job table."""

    def __init__(self, client: "DynamoDBClient", *, job_table: str, clock: Clock) -> None:
        self._client = client
        self._table = job_table
        self._clock = clock

    def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation as last written."""
        nothing = Conversation(tenant=tenant, conversation_id=conversation_id)
        with store_errors("reading a conversation"):
            item = self._client.get_item(TableName=self._table, Key=_key(nothing), ConsistentRead=True).get("Item")
        if item is None or int(item["expires_at"]["N"]) * 1000 <= self._clock():
            return nothing
        values = from_item(item)
        return Conversation(
            tenant=tenant,
            conversation_id=conversation_id,
            turns=msgspec.json.decode(values["turns"], type=tuple[Turn, ...]),
            last_job=values.get("last_job"),
            claims=values["claims"],
            claimed_at_ms=values["claimed_at_ms"],
        )

    def claim(self, conversation: Conversation, job_id: str) -> bool:
        """Write the turns of a conversation, and a job as its last.

        Returns False when another job has claimed it since it was read; for the same job it may be repeated.
        """
        now_ms = self._clock()
        values = {
            "turns": msgspec.json.encode(conversation.turns).decode(),
            "last_job": job_id,
            "claims": conversation.claims + 1,
            "claimed_at_ms": now_ms,
            "expires_at": now_ms // 1000 + CONVERSATION_TTL_SECONDS,
        }
        return is_written(
            "claiming a conversation",
            lambda: self._client.put_item(
                TableName=self._table,
                Item=_key(conversation) | to_item(values),
                ConditionExpression=(
                    "attribute_not_exists(job_id) OR expires_at <= :now OR claims = :read OR last_job = :job"
                ),
                ExpressionAttributeValues=to_item(
                    {":now": now_ms // 1000, ":read": conversation.claims, ":job": job_id}
                ),
            ),
        )

    def release(self, conversation: Conversation, job_id: str) -> None:
        """Forget that a job is the last, where it is."""
        is_written(
            "releasing a conversation",
            lambda: self._client.update_item(
                TableName=self._table,
                Key=_key(conversation),
                UpdateExpression="REMOVE last_job",
                ConditionExpression="last_job = :job",
                ExpressionAttributeValues=to_item({":job": job_id}),
            ),
        )


def _key(conversation: Conversation) -> dict[str, Any]:
    digest = sha256_hex(f"{conversation.tenant}\0{conversation.conversation_id}".encode())
    return to_item({"job_id": f"conversation#{digest}"})
