"""The other functions over the template's tables and queues, each on its sample event."""

import base64
import gzip
import json
import runpy
from contextlib import nullcontext
from itertools import permutations
from typing import Any

import boto3
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_metrics

from aggregate_costs.app import lambda_handler as aggregate
from analytics.app import lambda_handler as analytics
from cache_lookup.app import lambda_handler as cache_lookup
from classify.app import lambda_handler as classify
from infra.local.ollama_stand_in import OllamaStandIn
from llm_router import bootstrap
from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.onnx_embedder import OnnxEmbedder
from llm_router.box import same_model
from llm_router.errors import ConfigError
from llm_router.jobs import succeeded, usage_record, utc_day
from llm_router.models import CacheTier
from llm_router.request_bodies import CacheQuestion
from llm_router.semantic_cache import SemanticCache
from probe.app import lambda_handler as probe
from status.app import lambda_handler as status
from tests.builders import TINY, Context, body_of, http_event, make_answer, make_entry, make_job, make_usage
from tests.integration.conftest import MODEL, ROOT, TEMPLATE, Cloud, Deploy, other_day
from tests.loading import load_event
from tests.usage_stream import stream_records

FUNCTIONS = {function.handler.partition(".")[0]: function for function in TEMPLATE.functions.values()}


def stream_event(*records: UsageRecord) -> dict[str, Any]:
    """Return a stream event that inserted these records, one after another."""
    return {"Records": stream_records(records)}


def counted(cloud: Cloud) -> list[dict[str, Any]]:
    """Return the rollup rows as they are stored, without what was seen and when it expires."""
    items = cloud.dynamodb.scan(TableName="RollupTable")["Items"]
    rows = [item for item in items if not item["tenant_day"]["S"].startswith("counted#")]
    return sorted(
        ({name: value for name, value in row.items() if name != "expires_at"} for row in rows),
        key=lambda row: (row["tenant_day"]["S"], row["dimensions"]["S"]),
    )


def requests_of_rows(rows: list[dict[str, Any]]) -> list[int]:
    """Return how many requests each row has, fewest first."""
    return sorted(int(row["requests"]["N"]) for row in rows)


RECORDS = (
    make_usage("1"),
    make_usage("2", tier=CacheTier.EXACT, busy_ms=0, actual_nano_usd=0),
    make_usage("3", model="ollama/llama3.2", complexity="complex", latency_ms=90_000),
)


def test_sample_event(cloud: Cloud, deploy: Deploy) -> None:
    """The sample event's record is counted in the rows of its day, half hour and month."""
    deploy("AggregateCostsFunction")

    assert {"batchItemFailures": []} == aggregate(load_event("aggregate-costs"), Context())
    assert [
        {
            "tenant_day": {"S": partition},
            "dimensions": {"S": dimensions},
            "requests": {"N": "1"},
            "succeeded_requests": {"N": "1"},
            "generated_requests": {"N": "1"},
            "input_tokens": {"N": "21"},
            "output_tokens": {"N": "80"},
            "busy_ms": {"N": "9500"},
            "latency_ms": {"N": "12345"},
            "latency_ms_log_95": {"N": "1"},
            "actual_nano_usd": {"N": "382639"},
            "baseline_nano_usd": {"N": "5430000"},
        }
        for partition, dimensions in (
            ("default#2023-11-14", "ollama/tinyllama#simple#default#http"),
            ("months#2023-11", "default"),
            ("slots#default#2023-11-14", "22:00#ollama/tinyllama#simple#default#http"),
        )
    ] == counted(cloud)


def test_batch_twice(cloud: Cloud, deploy: Deploy) -> None:
    """A batch that is delivered again changes no counter."""
    deploy("AggregateCostsFunction")
    aggregate(stream_event(*RECORDS), Context())
    once = counted(cloud)
    aggregate(stream_event(*RECORDS), Context())

    assert once == counted(cloud)
    assert [1, 1, 2, 2, 3] == requests_of_rows(once)


def test_any_order(cloud: Cloud, deploy: Deploy) -> None:
    """Whatever the order in which records come, and come again, the counters are the same."""
    deploy("AggregateCostsFunction")
    aggregate(stream_event(*RECORDS), Context())
    expected = counted(cloud)
    for order in permutations(RECORDS):
        for item in cloud.dynamodb.scan(TableName="RollupTable")["Items"]:
            key = {name: item[name] for name in ("tenant_day", "dimensions")}
            cloud.dynamodb.delete_item(TableName="RollupTable", Key=key)
        aggregate(stream_event(*order[:2]), Context())
        aggregate(stream_event(*order[1:]), Context())

        assert expected == counted(cloud)


def test_poison_record(cloud: Cloud, deploy: Deploy) -> None:
    """A record that cannot be read is reported alone; the others are counted, and not again when it comes back."""
    deploy("AggregateCostsFunction")
    event = stream_event(*RECORDS)
    del event["Records"][1]["dynamodb"]["NewImage"]["tenant"]
    first = aggregate(event, Context())
    half = counted(cloud)
    again = aggregate(event, Context())
    without = counted(cloud)
    aggregate(stream_event(*RECORDS), Context())

    assert {"batchItemFailures": [{"itemIdentifier": "1001"}]} == first == again
    assert half == without
    assert [1, 1, 1, 1, 2] == requests_of_rows(half)
    assert [1, 1, 2, 2, 3] == requests_of_rows(counted(cloud))


def test_missing_rollup_table(cloud: Cloud, deploy: Deploy) -> None:
    """When nothing can be counted every record is reported, so that all come again."""
    deploy("AggregateCostsFunction")
    cloud.dynamodb.delete_table(TableName="RollupTable")
    failures = aggregate(stream_event(*RECORDS), Context())["batchItemFailures"]

    assert ["1000", "1001", "1002"] == [failure["itemIdentifier"] for failure in failures]


def test_analytics(deploy: Deploy) -> None:
    """What the stream counted today is in the summary and in the cache's statistics."""
    deploy("AggregateCostsFunction")
    today = utc_day(bootstrap.now_ms())
    records = [msgspec.structs.replace(record, day=today) for record in RECORDS]
    aggregate(stream_event(*records), Context())
    deploy("AnalyticsFunction")
    summary, stats = (analytics(load_event(name), Context()) for name in ("analytics-summary", "analytics-cache-stats"))

    assert (200, 200) == (summary["statusCode"], stats["statusCode"])
    assert (3, 1, 1400, 4_500_000) == tuple(
        body_of(summary)[name] for name in ("total_requests", "cache_hits", "actual_nano_usd", "baseline_nano_usd")
    )
    assert (1, 2, 33.33) == tuple(body_of(stats)[name] for name in ("exact_hits", "generated_requests", "hit_rate"))


def test_metrics(deploy: Deploy) -> None:
    """What the stream counted today is what a Prometheus server reads, in the text format that it asks for."""
    deploy("AggregateCostsFunction")
    today = utc_day(bootstrap.now_ms())
    aggregate(stream_event(*[msgspec.structs.replace(record, day=today) for record in RECORDS]), Context())
    deploy("AnalyticsFunction")
    response = analytics(load_event("metrics"), Context())
    families = parse_metrics(gzip.decompress(base64.b64decode(response["body"])).decode())
    requests = next(family for family in families if family.name == "llm_router_requests")

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (
        response["statusCode"],
        response["headers"]["Content-Type"],
    )
    assert 3 == sum(sample.value for sample in requests.samples)


def test_costs_and_days(deploy: Deploy) -> None:
    """What was finished just now is in the sample events' reports: by source, and on the last of Berlin's days."""
    deploy("AggregateCostsFunction")
    now_ms = bootstrap.now_ms()
    records = [msgspec.structs.replace(each, day=utc_day(now_ms), finished_at_ms=now_ms) for each in RECORDS]
    aggregate(stream_event(*records), Context())
    deploy("AnalyticsFunction")
    costs, daily = (body_of(analytics(load_event(f"analytics-{name}"), Context())) for name in ("costs", "daily"))

    assert [("http", 3, 1400)] == [(row["name"], row["requests"], row["actual_nano_usd"]) for row in costs["rows"]]
    assert [0, 0, 3] == [day["requests"] for day in daily["days"]]
    assert ("Europe/Berlin", "UTC") == (daily["period"]["time_zone"], costs["period"]["time_zone"])


@pytest.mark.parametrize("media_type", ["application/json", "text/csv", "text/html"])
def test_savings_report(deploy: Deploy, media_type: str) -> None:
    """The report on what was saved comes in the form that the caller accepts."""
    deploy("AnalyticsFunction")
    event = load_event("analytics-savings-report")
    event["headers"] |= {"accept": media_type, "accept-encoding": "identity"}
    response = analytics(event, Context())

    assert 200 == response["statusCode"]
    assert response["headers"]["Content-Type"].startswith(media_type)
    assert "gpt-4o-mini" in response["body"]


def test_savings_report_not_acceptable(deploy: Deploy) -> None:
    """Who accepts none of its forms is told which there are."""
    deploy("AnalyticsFunction")
    event = load_event("analytics-savings-report")
    event["headers"] |= {"accept": "application/pdf", "accept-encoding": "identity"}
    response = analytics(event, Context())

    assert (406, "not_acceptable", "accept") == (
        response["statusCode"],
        body_of(response)["error"]["code"],
        body_of(response)["error"]["field"],
    )


def test_users_see_their_own(deploy: Deploy) -> None:
    """Who is no admin gets no other tenant's report, and is told which parameter asked for one."""
    deploy("AnalyticsFunction")
    event = http_event("analytics-summary", queryStringParameters={"tenant": "all"})
    event["requestContext"]["authorizer"] = {"lambda": {"tenant": "acme", "role": "user"}}
    refused = analytics(event, Context())
    own = analytics(event | {"queryStringParameters": {}}, Context())

    assert (403, "forbidden", "tenant") == (
        refused["statusCode"],
        body_of(refused)["error"]["code"],
        body_of(refused)["error"]["field"],
    )
    assert (200, "acme") == (own["statusCode"], body_of(own)["tenant"])


def test_bad_period(deploy: Deploy) -> None:
    """A period that is no number of days is refused by name."""
    deploy("AnalyticsFunction")
    response = analytics(http_event("analytics-summary", queryStringParameters={"days": "all"}), Context())

    assert (422, "days") == (response["statusCode"], body_of(response)["error"]["field"])


def test_classify(deploy: Deploy) -> None:
    """The sample question is graded complex, for reasons that are given, and would go to the complex model."""
    deploy("ClassifyFunction")
    response = classify(load_event("classify"), Context())
    body = body_of(response)

    assert (200, "complex", "ollama/llama3.2") == (
        response["statusCode"],
        body["complexity"],
        body["recommended_model"],
    )
    assert body["reasons"]
    assert 0 < body["confidence"] <= 1


def test_classify_several(deploy: Deploy) -> None:
    """Several messages are graded in their order, each as it would be alone; the learned grader has its place."""
    deploy("ClassifyFunction")
    messages = ["What is Python?", json.loads(load_event("classify")["body"])["message"]]
    several = body_of(classify(http_event("classify", {"messages": messages}), Context()))["results"]
    alone = [body_of(classify(http_event("classify", {"message": message}), Context())) for message in messages]

    assert ["simple", "complex"] == [each["complexity"] for each in several]
    assert alone == several
    assert {"rules", "learned"} == several[0]["verdicts"].keys()
    assert ["default", "default"] == [each["arm"] for each in several]


def test_classify_bad_body(deploy: Deploy) -> None:
    """Only the message is a known field."""
    deploy("ClassifyFunction")
    response = classify(http_event("classify", {"message": "a", "skip_cache": True}), Context())

    assert (422, "skip_cache") == (response["statusCode"], body_of(response)["error"]["field"])


def test_cache_lookup(deploy: Deploy) -> None:
    """A stored answer is found by its exact words and by its meaning."""
    deploy("CacheLookupFunction")
    embedder = OnnxEmbedder(MODEL)
    cache = SemanticCache(bootstrap.cache_store("CacheTable"), embedder, threshold=0.85, clock=bootstrap.now_ms)
    namespace = cache.lookup(
        "default", CacheQuestion(message="What is Python?"), TINY, canonical="What is Python?"
    ).namespace
    entry = make_entry(namespace=namespace, expires_at=bootstrap.now_ms() // 1000 + 60)
    bootstrap.cache_store("CacheTable").put(entry, embedder.embed(entry.prompt))
    exact, semantic, missed = (
        body_of(cache_lookup(http_event("cache-lookup", {"message": message}), Context()))
        for message in ("What is Python?", "what's Python", "Who wrote Faust?")
    )

    assert ("exact", "semantic", None) == (exact["cache_tier"], semantic["cache_tier"], missed["cache_tier"])
    assert "A language." == exact["response"] == semantic["response"]


def test_cache_stats(cloud: Cloud, deploy: Deploy) -> None:
    """The cache's settings are shown, and a missing table is not hidden."""
    deploy("CacheLookupFunction")
    fine = body_of(cache_lookup(load_event("cache-stats"), Context()))
    cloud.dynamodb.delete_table(TableName="CacheTable")
    broken = body_of(cache_lookup(load_event("cache-stats"), Context()))

    assert (0.85, 24.0, OnnxEmbedder(MODEL).version, 0, []) == tuple(
        fine[name] for name in ("similarity_threshold", "ttl_hours", "embedder_version", "generation", "degraded")
    )
    assert ["cache"] == broken["degraded"]


def test_feedback(cloud: Cloud, deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong hit is noted, counted in a metric once, and lets the entry go; the comment is in no log."""
    deploy("CacheLookupFunction")
    said = {"request_id": f"req_{'0' * 32}", "verdict": "wrong", "comment": "about snakes"}
    unknown = cache_lookup(http_event("feedback", said), Context())
    answer = make_answer(tier=CacheTier.EXACT, cache_entry_id=make_entry().public_id)
    job = succeeded(make_job(said["request_id"]), answer, bootstrap.now_ms())
    bootstrap.job_store("JobTable", "UsageTable").record(job, usage_record(job))
    bootstrap.cache_store("CacheTable").put(make_entry(), None)
    first, again = (cache_lookup(http_event("feedback", said), Context()) for _ in range(2))
    output = capsys.readouterr().out

    assert [404, 200, 200] == [response["statusCode"] for response in (unknown, first, again)]
    assert first["body"] == again["body"]
    assert (True, "exact", make_entry().public_id) == tuple(
        body_of(first)[name] for name in ("evicted", "cache_tier", "entry_id")
    )
    assert 1 == output.count('"Feedback":')
    assert "snakes" not in output
    assert bootstrap.cache_store("CacheTable").get("ns", make_entry().entry_id) is None
    assert 2 == cloud.dynamodb.scan(TableName="UsageTable")["Count"]


def test_bad_feedback(deploy: Deploy) -> None:
    """Only wrong and right are verdicts, and a comment has its limit."""
    deploy("CacheLookupFunction")
    said = {"request_id": f"req_{'0' * 32}", "verdict": "wrong"}
    responses = [
        cache_lookup(http_event("feedback", said | odd), Context())
        for odd in ({"verdict": "meh"}, {"comment": "x" * 2001}, {"tenant": "other"})
    ]

    assert [(422, "verdict"), (422, "comment"), (422, "tenant")] == [
        (response["statusCode"], body_of(response)["error"]["field"]) for response in responses
    ]


def test_clear_and_evict(cloud: Cloud, deploy: Deploy) -> None:
    """The sample events clear the cache, and do not find the entry that nobody stored."""
    deploy("CacheLookupFunction")
    cleared, evicted = (cache_lookup(load_event(name), Context()) for name in ("cache-clear", "cache-evict"))
    cloud.dynamodb.delete_table(TableName="CacheTable")
    broken = [cache_lookup(load_event(name), Context())["statusCode"] for name in ("cache-clear", "cache-evict")]

    assert (200, 1, 404) == (cleared["statusCode"], body_of(cleared)["generation"], evicted["statusCode"])
    assert [503, 503] == broken


def test_misspelt_clear(deploy: Deploy) -> None:
    """A parameter that is misspelt is refused by name, and does not clear the caller's own cache instead."""
    deploy("CacheLookupFunction")
    response = cache_lookup(load_event("cache-clear") | {"queryStringParameters": {"tennant": "all"}}, Context())

    assert (422, "tennant") == (response["statusCode"], body_of(response)["error"]["field"])
    assert 1 == body_of(cache_lookup(load_event("cache-clear"), Context()))["generation"]


def test_probe_and_models(deploy: Deploy, ollama: OllamaStandIn) -> None:
    """What the probe saw of the box is what the models route shows."""
    deploy("ProbeFunction")
    probe(load_event("probe"), Context())
    deploy("StatusFunction")
    body = body_of(status(load_event("models"), Context()))

    assert {"ollama/tinyllama": True, "ollama/llama3.2": True} == {
        tier["model"]: tier["installed"] for tier in body["tiers"].values()
    }
    assert any(same_model(TINY, each["name"]) for each in body["installed"])
    assert "0.145" == body["prices"]["instance_usd_per_hour"]


def test_box_that_sleeps(deploy: Deploy, ollama: OllamaStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    """Outside of its hours a silent box costs nothing and alarms nobody, and health says when it wakes."""
    deploy("ProbeFunction", BOX_HOURS=other_day())
    with ollama.refusing():
        probe(load_event("probe"), Context())
    (hour,) = bootstrap.box_hours("RollupTable").days(bootstrap.today(), bootstrap.today())
    deploy("StatusFunction", BOX_HOURS=other_day())
    response = status(load_event("health"), Context())
    part = body_of(response)["parts"]["ollama"]

    assert (1, 0) == (len(hour.asleep), hour.billed_minutes)
    assert "BoxUnreachable" not in capsys.readouterr().out
    assert (200, "asleep", "asleep") == (response["statusCode"], body_of(response)["status"], part["status"])
    assert 0 < part["wakes_in_ms"] < 4 * 86_400_000


@pytest.mark.parametrize("answers", [True, False])
def test_probe_notes_the_hour(deploy: Deploy, ollama: OllamaStandIn, *, answers: bool) -> None:
    """Each look notes a minute in which the box ran, at its price, whether it answered or not."""
    deploy("ProbeFunction", INSTANCE_USD_PER_HOUR="0.36")
    day = bootstrap.today()
    with nullcontext() if answers else ollama.refusing():
        probe(load_event("probe"), Context())
    (hour,) = bootstrap.box_hours("RollupTable").days(day, bootstrap.today())

    assert (360_000_000, int(answers), int(not answers)) == (hour.nano_usd_per_hour, len(hour.up), len(hour.silent))
    assert 1 == hour.billed_minutes


def test_probe_shows_the_secret(cloud: Cloud, deploy: Deploy) -> None:
    """A box behind a proxy is asked with the secret that the parameter names."""
    arn = boto3.client("secretsmanager").create_secret(Name="box", SecretString="open-sesame")["ARN"]
    with OllamaStandIn() as box:
        box.secrets = {"open-sesame"}
        deploy("ProbeFunction", OLLAMA_BASE_URL=box.base_url, OLLAMA_SECRET=arn)
        probe(load_event("probe"), Context())
    sighting = bootstrap.status_store("StatusTable").box()

    assert sighting is not None
    assert (True, None) == (sighting.state is not None, sighting.reason)


def test_probe_that_preloads(deploy: Deploy) -> None:
    """Where it is switched on, a look at the box loads the tiers' models, and what is kept is the box after that."""
    with OllamaStandIn() as box:
        deploy("ProbeFunction", PRELOAD_MODELS="true", OLLAMA_BASE_URL=box.base_url)
        probe(load_event("probe"), Context(remaining_ms=360_000))
        probe(load_event("probe"), Context(remaining_ms=360_000))
    sighting = bootstrap.status_store("StatusTable").box()

    assert ["tinyllama", "llama3.2"] == list(box.loads)
    assert sighting is not None
    assert sighting.state is not None
    assert sighting.state.is_resident(TINY)


def test_probe_that_preloads_arms_and_shadows(deploy: Deploy) -> None:
    """The models of arms and shadows are loaded as those of the tiers are."""
    arms = '[{"tier": "simple", "arm": "phi", "weight": 1, "model": "ollama/phi3"}]'
    models = ("tinyllama", "llama3.2", "phi3", "qwen3:4b")
    with OllamaStandIn(models=models, max_loaded=4) as box:
        chosen = {"ROUTING_ARMS": arms, "SHADOW_MODEL": "ollama/qwen3:4b", "OLLAMA_BASE_URL": box.base_url}
        deploy("ProbeFunction", PRELOAD_MODELS="true", **chosen)
        probe(load_event("probe"), Context(remaining_ms=360_000 * 4))

    assert list(models) == list(box.loads)


def test_probe_of_an_unreachable_box(deploy: Deploy, ollama: OllamaStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    """A box that refuses connections is written down as unreachable, and health says so with 503."""
    deploy("ProbeFunction")
    with ollama.refusing():
        probe(load_event("probe"), Context())
    deploy("StatusFunction")
    response = status(load_event("health"), Context())

    assert '"BoxUnreachable"' in capsys.readouterr().out
    assert (503, "unavailable") == (response["statusCode"], body_of(response)["status"])
    assert "unavailable" == body_of(response)["parts"]["ollama"]["status"]


def test_health(cloud: Cloud, deploy: Deploy) -> None:
    """Health asks every part: well when all answer, degraded without the cache, unavailable without the queue."""
    deploy("ProbeFunction")
    probe(load_event("probe"), Context())
    deploy("StatusFunction")
    well = status(load_event("health"), Context())
    cloud.dynamodb.delete_table(TableName="CacheTable")
    degraded = status(load_event("health"), Context())
    cloud.sqs.delete_queue(QueueUrl=cloud.environment("StatusFunction")["INFERENCE_QUEUE_URL"])
    unavailable = status(load_event("health"), Context())

    assert [(200, "ok"), (200, "degraded"), (503, "unavailable")] == [
        (response["statusCode"], body_of(response)["status"]) for response in (well, degraded, unavailable)
    ]
    assert {
        "job_table",
        "usage_table",
        "inference_queue",
        "cache_table",
        "rollup_table",
        "embedder",
        "ollama",
    } == body_of(well)["parts"].keys()


def test_openapi(deploy: Deploy) -> None:
    """The description is served as JSON."""
    deploy("StatusFunction")
    response = status(load_event("openapi"), Context())

    assert (200, "3.1.0") == (response["statusCode"], body_of(response)["openapi"])


def test_docs(deploy: Deploy) -> None:
    """The documentation is one compressed page."""
    deploy("StatusFunction")
    response = status(load_event("docs"), Context())
    page = gzip.decompress(base64.b64decode(response["body"])).decode()

    assert (200, "gzip", True) == (
        response["statusCode"],
        response["headers"]["Content-Encoding"],
        response["isBase64Encoded"],
    )
    assert page.startswith("<!doctype html>")


def test_dashboard(deploy: Deploy) -> None:
    """The page is compressed for who takes that, and sent again only to who has another one."""
    deploy("StatusFunction")
    event = load_event("dashboard")
    compressed = status(event, Context())
    headers = compressed["headers"]
    plain = status(event | {"headers": {}}, Context())
    known = status(event | {"headers": {"if-none-match": headers["ETag"]}}, Context())
    other = status(event | {"headers": {"if-none-match": 'W/"0"'}}, Context())

    assert [200, 200, 304, 200] == [each["statusCode"] for each in (compressed, plain, known, other)]
    assert plain["body"] == gzip.decompress(base64.b64decode(compressed["body"])).decode()
    assert headers["ETag"] == plain["headers"]["ETag"] == known["headers"]["ETag"]
    assert "text/html; charset=utf-8" == headers["Content-Type"]


def start(app: str) -> dict[str, Any]:
    """Load a function's module as Lambda does when an environment starts."""
    return runpy.run_path(str(ROOT / "functions" / app / "app.py"))


@pytest.mark.parametrize("app", FUNCTIONS)
def test_start(app: str, deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Lambda a function is built while it starts, from the environment that the template gives it."""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    deploy(FUNCTIONS[app].logical_id)

    assert callable(start(app)["lambda_handler"])


@pytest.mark.parametrize("app", FUNCTIONS)
def test_broken_configuration(app: str, deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Lambda a function with a wrong environment fails while it starts, and names everything that is wrong."""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    environment = FUNCTIONS[app].environment
    broken = {name: "not a URL" for name in environment if name.endswith("_URL")}
    broken |= {name: "gpt-4" for name in environment if name.endswith("_MODEL") and name.startswith("DEFAULT_")}
    broken |= {name: "" for name in environment if name.endswith("_TABLE")}
    deploy(FUNCTIONS[app].logical_id, **broken)
    with pytest.raises(ConfigError) as caught:
        start(app)

    assert sorted(broken) == sorted(problem.partition(":")[0] for problem in caught.value.problems)


def test_sample_events_are_complete() -> None:
    """Every sample HTTP event names its route the way the gateway does, and has a body that is JSON."""
    for route in ("chat", "classify", "cache-lookup"):
        event = load_event(route)

        assert event["routeKey"] == f"{event['requestContext']['http']['method']} {event['rawPath']}"
        assert json.loads(event["body"])["message"]
