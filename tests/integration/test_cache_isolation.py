"""Attempts to cross the cache's walls through the functions, over the template's table and a real embedding model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cache_lookup.app import lambda_handler as cache_lookup
from chat.app import lambda_handler as chat
from tests.builders import Context, body_of, http_event
from tests.integration.conftest import MODEL, Cloud, Deploy

QUESTION, REWORDED = "What is Python?", "what's Python"
ACME = {"lambda": {"tenant": "acme"}}


def post(name: str, body: dict[str, Any], *, headers: dict[str, str] | None = None, **context: Any) -> dict[str, Any]:
    """Post a body to chat or to the cache, as the authorizer's `context` says who it is."""
    event = http_event(name, body)
    event["requestContext"] |= context
    event["headers"] |= headers or {}
    response = (chat if name == "chat" else cache_lookup)(event, Context())
    assert response["statusCode"] == 200
    answered: dict[str, Any] = body_of(response)
    return answered


@pytest.fixture
def _stored(deploy: Deploy) -> None:
    """Let a caller without a tenant have the question answered."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    post("chat", {"message": QUESTION})


@pytest.mark.usefixtures("_stored")
@pytest.mark.parametrize("message", [QUESTION, REWORDED])
def test_tenant(deploy: Deploy, message: str) -> None:
    """Another tenant gets its own answer and sees none of ours; a header names nobody."""
    deploy("CacheLookupFunction")
    seen = post("cache-lookup", {"message": message}, authorizer=ACME)
    ours = post("cache-lookup", {"message": message}, headers={"tenant": "acme", "x-tenant": "acme"})
    deploy("ChatFunction", INFERENCE_MODE="inline")
    first, again = (post("chat", {"message": message}, authorizer=ACME) for _ in range(2))

    assert (False, []) == (seen["hit"], seen["candidates"])
    assert ours["hit"]
    assert [(False, None), (True, "exact")] == [(each["was_cached"], each["cache_tier"]) for each in (first, again)]


@pytest.mark.usefixtures("_stored")
@pytest.mark.parametrize(
    "other",
    [
        {"system_prompt": "Answer in French."},
        {"force_model": "ollama/llama3.2"},
        {"temperature": 0.0},
        {"max_tokens": 400},
        {"conversation_id": "c-1"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_question(deploy: Deploy, other: dict[str, Any]) -> None:
    """Neither the words nor the sense of a question leads to an answer under another instruction, model or sampling."""
    deploy("CacheLookupFunction")
    within = post("cache-lookup", {"message": REWORDED})
    beyond = [post("cache-lookup", {"message": message, **other}) for message in (QUESTION, REWORDED)]

    assert within["hit"]
    assert [(False, [])] * 2 == [(each["hit"], each["candidates"]) for each in beyond]


@pytest.mark.usefixtures("_stored")
def test_cleared(cloud: Cloud, deploy: Deploy) -> None:
    """After a tenant's cache was cleared nothing of it is found; another tenant's stays."""
    post("chat", {"message": QUESTION}, authorizer=ACME)
    key = {"namespace": {"S": "tenant#default"}, "entry_id": {"S": "generation"}}
    cloud.dynamodb.put_item(TableName="CacheTable", Item=key | {"generation": {"N": "1"}})
    deploy("CacheLookupFunction")
    ours = [post("cache-lookup", {"message": message}) for message in (QUESTION, REWORDED)]
    theirs = [post("cache-lookup", {"message": message}, authorizer=ACME) for message in (QUESTION, REWORDED)]

    assert [False, False, True, True] == [each["hit"] for each in (*ours, *theirs)]


@pytest.mark.usefixtures("_stored")
def test_embedder_version(deploy: Deploy, tmp_path: Path) -> None:
    """Vectors of another embedding model are never compared with those of this one."""
    shutil.copytree(MODEL, tmp_path / "model")
    manifest = tmp_path / "model" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": "another"}))
    deploy("CacheLookupFunction", MODEL_DIR=str(tmp_path / "model"))
    beyond = [post("cache-lookup", {"message": message}) for message in (QUESTION, REWORDED)]
    deploy("CacheLookupFunction")

    assert [(False, [], [])] * 2 == [(each["hit"], each["candidates"], each["degraded"]) for each in beyond]
    assert post("cache-lookup", {"message": REWORDED})["hit"]
