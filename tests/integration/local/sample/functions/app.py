"""Handlers that show what reached them, and handlers that go wrong in every way a function can."""

import importlib
import json
import os
import subprocess
import sys
import time
from typing import Any

_CHILD = """
import socket, sys, time
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
time.sleep(60)
"""


def echo(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer with the event and what the context says."""
    about = {"pid": os.getpid(), "remaining_ms": context.get_remaining_time_in_millis(), "name": context.function_name}
    return {"event": event, "context": about}


def misbehave(event: dict[str, Any], context: Any) -> Any:
    """Go wrong as the body asks."""
    match event.get("body"):
        case "crash":
            os._exit(7)
        case "leave a child behind":
            subprocess.Popen([sys.executable, "-c", _CHILD, event["port"]], stdout=subprocess.PIPE).stdout.read(1)
            os._exit(7)
        case "hang":
            time.sleep(60)
        case "raise":
            raise ValueError("as asked")
        case "answer too much":
            return "x" * 7_000_000
    return {"statusCode": 201, "headers": {"X-Sample": "yes"}, "cookies": ["a=1", "b=2"], "body": "fine"}


def inspect(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer with the environment and what a layer holds."""
    greeting = importlib.import_module("greetings").WORD
    return {"environ": dict(os.environ), "path": sys.path, "greeting": greeting}  # noqa: TID251 - what this shows


def write(event: dict[str, Any], context: Any) -> str:
    """Store an item with the SDK of a layer, configured by the environment alone."""
    boto3 = importlib.import_module("boto3")
    boto3.client("dynamodb").put_item(TableName=os.environ["TABLE_NAME"], Item=event["item"])  # noqa: TID251 - no settings here
    return "stored"


def work(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Report messages that say so as failed: always, or only the first time."""
    failures = []
    for record in event["Records"]:
        received = int(record["attributes"]["ApproximateReceiveCount"])
        if record["body"] == "fail" or (record["body"] == "fail once" and received == 1):
            failures.append({"itemIdentifier": record["messageId"]})
        else:
            _tell("work", {"body": record["body"], "received": received, "record": record})
    return {"batchItemFailures": failures}


def slow(event: dict[str, Any], context: Any) -> None:
    """Say when a message was begun and ended."""
    begun = time.monotonic()
    time.sleep(0.15)
    _tell("slow", {"begun": begun, "ended": time.monotonic(), "messages": len(event["Records"])})


def read_stream_raising(event: dict[str, Any], context: Any) -> None:
    """Raise when a poisoned record is in the batch."""
    names = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
    if any(name.startswith("poison") for name in names):
        raise ValueError(f"poison among {len(names)}")
    _tell("raising", {"names": names, "records": event["Records"]})


def read_stream_reporting(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Accept records up to the first one that is named so, which fails the first time it comes first."""
    names = []
    for position, record in enumerate(event["Records"]):
        name = record["dynamodb"]["Keys"]["id"]["S"]
        if name.startswith("stumble") and position > 0:
            _tell("reporting", {"names": names})
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
        names.append(name)
    _tell("reporting", {"names": names})
    return {"batchItemFailures": []}


def tick(event: dict[str, Any], context: Any) -> None:
    """Tell that the schedule fired."""
    _tell("tick", event)


def _tell(topic: str, value: Any) -> None:
    sys.stdout.write(json.dumps({"topic": topic, "value": value}) + "\n")
