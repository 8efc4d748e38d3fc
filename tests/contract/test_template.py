"""What every resource of the template owes, whoever adds one."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any

import pytest

from infer.app import MAX_BATCH_RECEIVES, MAX_RECEIVES
from infra.local.intrinsics import Intrinsic, Resolver
from infra.local.resources import Route, StreamEvent
from infra.local.template import load_template
from llm_router import bootstrap
from llm_router.adapters.job_items import SET_ASIDE_TTL_SECONDS
from llm_router.requests import OVERDUE_MS
from llm_router.settings import Settings
from submit_batch.submission import FILE_DUE_MS, LINES_DUE_MS
from submit_batch.wiring import MAX_RECEIVES as MAX_FILE_RECEIVES
from tests.contract.sam_template import CLOUD, DOCUMENT, ROOT, SECRETS, TEMPLATE, events, resources, target

GLOBALS = DOCUMENT["Globals"]["Function"]
FUNCTIONS = {name: GLOBALS | own for name, own in resources("AWS::Serverless::Function").items()}
QUEUES = resources("AWS::SQS::Queue")
TABLES = resources("AWS::DynamoDB::Table")
INPUT_FILES = "arn:${AWS::Partition}:s3:::${BatchInputBucket}/*"
REPLY_QUEUES = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${ReplyQueuePrefix}*"
EVENT_BUS = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"
ELSEWHERE = {INPUT_FILES, REPLY_QUEUES, EVENT_BUS}
"""What others made: any file of the one bucket, the queues of the one prefix, the account's bus."""
BOX_SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:box-a1b2c3"
POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_LOG_LEVEL"}

each_function = pytest.mark.parametrize("name", FUNCTIONS)
each_table = pytest.mark.parametrize("name", TABLES)


def package(name: str) -> str:
    """Return the package of a function's handler."""
    return str(FUNCTIONS[name]["Handler"]).partition(".")[0]


def policies(name: str) -> list[Any]:
    """Return a function's policies, with those that depend on a condition."""
    written = FUNCTIONS[name].get("Policies", [])
    chosen = [policy.argument[1] if isinstance(policy, Intrinsic) else policy for policy in written]
    return [policy for policy in chosen if not isinstance(policy, Intrinsic)]  # a policy of its own is for all


def statements(name: str) -> list[dict[str, Any]]:
    """Return the statements of a function's own policy."""
    return [statement for policy in policies(name) for statement in policy["Statement"]]


def of_key(value: object) -> tuple[Any, Any]:
    """Return what a value is with a key of the installation's own, and without: a name for what is referred to."""
    assert isinstance(value, Intrinsic), value
    condition, *both = value.argument
    assert "HasKey" == condition
    named = [each.argument if isinstance(each, Intrinsic) else each for each in both]
    with_key, without = (None if each == "AWS::NoValue" else each for each in named)
    return with_key, without


def as_list(value: object) -> list[Any]:
    """Return a value that may stand alone as a list."""
    return value if isinstance(value, list) else [value]


def sources(name: str) -> Iterator[str]:
    """Yield the source of every module of a function."""
    return (path.read_text(encoding="utf-8") for path in (ROOT / "functions" / package(name)).glob("*.py"))


def settings_of(name: str) -> type[Settings]:
    """Return the one class of settings that a function's modules parse."""
    parsed = {
        node.value.id
        for source in sources(name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr == "from_env" and isinstance(node.value, ast.Name)
    }
    (found,) = parsed
    kind: type[Settings] = getattr(import_module("llm_router.settings"), found)
    return kind


def test_every_function_is_deployed() -> None:
    """Every package with a handler is a function, and its handler exists."""
    packages = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}

    assert packages == {package(name) for name in FUNCTIONS}
    for name in FUNCTIONS:
        module, _, handler = str(FUNCTIONS[name]["Handler"]).rpartition(".")
        assert list(inspect.signature(getattr(import_module(module), handler)).parameters), name


@each_function
def test_runtime(name: str) -> None:
    """Every function runs Python 3.13 on x86_64, for which the layers are built."""
    assert ("python3.13", ["x86_64"]) == (FUNCTIONS[name]["Runtime"], FUNCTIONS[name]["Architectures"])


@each_function
def test_size(name: str) -> None:
    """Every function has memory and a timeout, and one behind HTTP alone ends before the gateway does."""
    function = FUNCTIONS[name]
    kinds = {event["Type"] for event in function.get("Events", {}).values()}

    assert 128 <= function["MemorySize"] <= 10_240
    assert 1 <= function["Timeout"] <= 900
    if kinds == {"HttpApi"} and name != "ChatFunction":  # which also serves direct invokes and inline inference
        assert function["Timeout"] <= 30


@each_function
def test_logs(name: str) -> None:
    """Every function writes to a log group of its own, which forgets."""
    group = target(FUNCTIONS[name]["LoggingConfig"]["LogGroup"])
    used = [target(function["LoggingConfig"]["LogGroup"]) for function in FUNCTIONS.values()]

    assert 1 == used.count(group)
    assert "RetentionInDays" in resources("AWS::Logs::LogGroup")[group]


@each_function
def test_least_privilege(name: str) -> None:
    """A function may do what it names, to what it names; nothing has a wildcard, and no managed policy is borrowed."""
    assert all(isinstance(policy, dict) for policy in policies(name))
    for statement in statements(name):
        assert {"Sid", "Effect", "Action", "Resource"} == statement.keys()
        assert all("*" not in action for action in as_list(statement["Action"]))
        for resource in as_list(statement["Resource"]):
            assert isinstance(resource, Intrinsic)
            if resource.argument in ELSEWHERE:
                continue
            assert "*" not in str(resource.argument)
            assert target(resource) in DOCUMENT["Resources"] or target(resource) in SECRETS


@each_function
def test_layers(name: str) -> None:
    """A function carries the embedding layer when, and only when, it embeds; likewise the dashboard's."""
    own = resources("AWS::Serverless::Function")[name].get("Layers", [])
    layers = [target(layer) for layer in [*GLOBALS["Layers"], *own]]
    embeds = any("bootstrap.semantic_cache(" in text or "bootstrap.embedder(" in text for text in sources(name))
    embeds = embeds or any("bootstrap.pipeline(" in text for text in sources(name))
    shows = any("chart.js" in text for text in sources(name))
    extra = [*(["EmbeddingLayer"] if embeds else []), *(["DashboardLayer"] if shows else [])]

    assert ["CoreLayer", "DepsLayer", *extra] == layers


@each_function
def test_environment(name: str) -> None:
    """A function gets the settings it parses, every required one, and nothing else."""
    given = set(TEMPLATE.functions[name].environment) - POWERTOOLS
    known = {field.name.upper(): field for field in fields(settings_of(name))}
    required = {setting for setting, field in known.items() if field.default is MISSING}

    assert set() == given - known.keys()
    assert set() == required - given


@pytest.mark.parametrize(
    ("mode", "arn", "readers"),
    [
        ("queue", "", set()),
        ("queue", BOX_SECRET, {"InferFunction", "ProbeFunction"}),
        ("inline", BOX_SECRET, {"ChatFunction", "InferFunction", "ProbeFunction"}),
    ],
)
def test_secret_of_the_box_is_read_by_who_asks_it(mode: str, arn: str, readers: set[str]) -> None:
    """Who talks to the box is told of its secret and may read it; where there is none, nobody may read any."""
    names = {"OllamaSecretArn": arn, "InferenceMode": mode}
    resolver = Resolver(names, {}, DOCUMENT["Conditions"])
    grants = {
        name
        for name, function in FUNCTIONS.items()
        for policy in function.get("Policies", [])
        if "OllamaSecretArn" in repr(policy) and resolver.resolve([policy])
    }
    told = {name for name, each in TEMPLATE.functions.items() if "OLLAMA_SECRET" in each.environment}

    assert readers == grants
    assert told == {name for name, each in TEMPLATE.functions.items() if "OLLAMA_BASE_URL" in each.environment}


def test_without_a_cloud_nothing_of_it_is_deployed() -> None:
    """Where no cloud is configured there is no function that asks it, and no queue for it."""
    template = load_template(ROOT / "template.yaml", endpoint_url="http://localhost")
    kinds = {"AWS::Serverless::Function", "AWS::Logs::LogGroup", "AWS::SQS::Queue"}
    conditional = {
        name for name, each in DOCUMENT["Resources"].items() if each["Type"] in kinds and "Condition" in each
    }

    assert {"InferCloudFunction", "InferCloudLogs", "UnansweredJobQueue"} == conditional
    assert "InferCloudFunction" not in template.functions
    assert "InferCloudFunction" not in {event.function for event in template.events_of(StreamEvent)}


@pytest.mark.parametrize("missing", sorted(CLOUD.keys() - {"CloudModel"}))
def test_half_a_cloud_cannot_be_deployed(missing: str) -> None:
    """A model without its address or its key is refused before anything is changed; chat refuses it too."""
    rule = DOCUMENT["Rules"]["CloudIsWhole"]
    whole, half = (
        Resolver({"CloudModel": "m", "CloudBaseUrl": "u", "CloudApiKeySecretArn": "a"} | given, {}, {})
        for given in ({}, {missing: ""})
    )
    (assertion,) = rule["Assertions"]

    assert whole.resolve(rule["RuleCondition"])
    assert (True, False) == (whole.resolve(assertion["Assert"]), half.resolve(assertion["Assert"]))


@each_function
def test_settings_parse(name: str) -> None:
    """What the template gives a function by default is what its settings accept."""
    assert settings_of(name).from_env(TEMPLATE.functions[name].environment)


@each_function
def test_tables_are_named_by_what_may_be_touched(name: str) -> None:
    """A function that is told of a table or queue has a right to it, and the other way round."""
    environment = FUNCTIONS[name]["Environment"]["Variables"]
    told = {target(value) for key, value in environment.items() if key.endswith(("_TABLE", "_QUEUE_URL"))}
    resources_of = [each for statement in statements(name) for each in as_list(statement["Resource"])]
    allowed = {target(each) for each in resources_of if each.argument not in ELSEWHERE}
    failure_queues = {
        target(source["DestinationConfig"]["OnFailure"]["Destination"])
        for function, source in events("DynamoDB")
        if function == name
    }

    assert told == allowed - failure_queues - SECRETS


@pytest.mark.parametrize(("name", "source"), events("SQS"), ids=lambda value: value if isinstance(value, str) else "")
def test_queue_sources(name: str, source: dict[str, Any]) -> None:
    """A queue's batch reports its failures one by one, and its queue hides messages for six timeouts and has a DLQ."""
    queue = QUEUES[target(source["Queue"])]
    dead_letters = target(queue["RedrivePolicy"]["deadLetterTargetArn"])

    assert ["ReportBatchItemFailures"] == source["FunctionResponseTypes"]
    assert queue["VisibilityTimeout"] >= 6 * FUNCTIONS[name]["Timeout"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 3
    assert QUEUES[dead_letters]["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


@pytest.mark.parametrize(
    ("name", "receives"), [("InferenceQueue", MAX_RECEIVES), ("BatchJobQueue", MAX_BATCH_RECEIVES)]
)
def test_last_delivery_of_a_job(name: str, receives: int) -> None:
    """`infer` knows which delivery is the last, and keeps a job it sets aside as long as its message is kept."""
    queue = QUEUES[name]
    dead_letters = QUEUES[target(queue["RedrivePolicy"]["deadLetterTargetArn"])]

    assert receives == queue["RedrivePolicy"]["maxReceiveCount"]
    assert SET_ASIDE_TTL_SECONDS == dead_letters["MessageRetentionPeriod"]


@pytest.mark.parametrize("name", ["PromptQueue", "BatchQueue"])
def test_prompts_come_again_when_their_jobs_are_overdue(name: str) -> None:
    """A prompt whose router died before it sent the job on comes again late enough for the job to be dispatched."""
    assert QUEUES[name]["VisibilityTimeout"] * 1000 >= 2 * OVERDUE_MS


def test_last_delivery_of_a_file() -> None:
    """`submit_batch` knows which delivery is the last, and a batch waits for longer than all of them take."""
    queue = QUEUES["BatchInputQueue"]
    receives = queue["RedrivePolicy"]["maxReceiveCount"]

    assert MAX_FILE_RECEIVES == receives
    assert receives * queue["VisibilityTimeout"] * 1000 < FILE_DUE_MS
    assert FUNCTIONS["SubmitBatchFunction"]["Timeout"] * 1000 <= LINES_DUE_MS


def test_probe_of_the_breaker_outlasts_the_worker() -> None:
    """The call that is let through to a box that was down has reported before the next one is."""
    assert bootstrap.PROBE_LEASE_MS >= FUNCTIONS["InferFunction"]["Timeout"] * 1000
    assert bootstrap.CLOUD_PROBE_LEASE_MS >= FUNCTIONS["InferCloudFunction"]["Timeout"] * 1000


@pytest.mark.parametrize(
    ("name", "source"), events("DynamoDB"), ids=lambda value: value if isinstance(value, str) else ""
)
def test_stream_sources(name: str, source: dict[str, Any]) -> None:
    """A stream's batch reports failures, is tried a limited number of times, halved, and set aside in the end."""
    destination = source["DestinationConfig"]["OnFailure"]
    allowed = {
        target(each)
        for statement in statements(name)
        if "sqs:SendMessage" in as_list(statement["Action"])
        for each in as_list(statement["Resource"])
    }

    assert ["ReportBatchItemFailures"] == source["FunctionResponseTypes"]
    assert 0 < source["MaximumRetryAttempts"] <= 100
    assert 0 < source["MaximumRecordAgeInSeconds"] <= 604_800
    assert source["BisectBatchOnFunctionError"] is True
    assert "SQS" == destination["Type"]
    assert target(destination["Destination"]) in QUEUES.keys() & allowed


@pytest.mark.parametrize("name", QUEUES)
def test_queues(name: str) -> None:
    """Every queue is encrypted, with the parameter's key where there is one, and says how long it keeps messages."""
    assert (None, True) == of_key(QUEUES[name]["SqsManagedSseEnabled"])
    assert ("KmsKeyArn", None) == of_key(QUEUES[name]["KmsMasterKeyId"])
    assert QUEUES[name]["MessageRetentionPeriod"] > 0


@each_table
def test_tables(name: str) -> None:
    """Every table is on demand, encrypted with the key of the parameter or DynamoDB's, and deletes by `expires_at`."""
    table = TABLES[name]

    assert "PAY_PER_REQUEST" == table["BillingMode"]
    assert {"AttributeName": "expires_at", "Enabled": True} == table["TimeToLiveSpecification"]
    with_key, without = of_key(table["SSESpecification"])
    assert ("KMS", True, "KmsKeyArn") == (
        with_key["SSEType"],
        with_key["SSEEnabled"],
        target(with_key["KMSMasterKeyId"]),
    )
    assert {"SSEEnabled": False} == without


@each_table
def test_money_is_kept(name: str) -> None:
    """The tables of money and of keys can be restored, and outlive the stack; the others do not."""
    table, resource = TABLES[name], DOCUMENT["Resources"][name]
    precious = name in {"KeyTable", "UsageTable", "RollupTable"}

    assert precious is table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled", False)
    assert ("Retain" if precious else "Delete") == resource["DeletionPolicy"] == resource["UpdateReplacePolicy"]


def test_routes_have_payload_two() -> None:
    """Every route speaks payload format 2.0 through the one API."""
    for _, source in events("HttpApi"):
        assert ("2.0", "HttpApi") == (source.get("PayloadFormatVersion", "2.0"), target(source["ApiId"]))


def test_open_routes() -> None:
    """Nothing is open but what shows no data; whatever a new route is, it needs a key."""
    open_routes = {route.key for route in TEMPLATE.events_of(Route) if route.authorizer is None}

    assert {"GET /health", "GET /openapi.json", "GET /docs", "GET /dashboard"} == open_routes


def test_authorizer() -> None:
    """A key is looked up anew after a minute at most, and is all that the authorizer's answer depends on."""
    (authorizer,) = {route.authorizer for route in TEMPLATE.events_of(Route)} - {None}
    assert authorizer is not None

    assert ("AuthorizeFunction", ("authorization",)) == (authorizer.function, authorizer.headers)
    assert 0 < authorizer.result_ttl_seconds <= 60
    assert FUNCTIONS["AuthorizeFunction"]["Timeout"] <= 10


def test_sample_events() -> None:
    """There is a sample event for every trigger, and for no other."""
    triggers = [event["Type"] for function in FUNCTIONS.values() for event in function.get("Events", {}).values()]
    samples = sorted(path.stem for path in (ROOT / "tests" / "events").glob("*.json"))

    assert [
        "aggregate-costs",
        "analytics-cache-stats",
        "analytics-costs",
        "analytics-daily",
        "analytics-savings-report",
        "analytics-summary",
        "anything-else",
        "authorize",
        "batch-cancel",
        "batch-file",
        "batch-look",
        "batch-results",
        "batch-submit",
        "cache-clear",
        "cache-evict",
        "cache-lookup",
        "cache-stats",
        "cancel",
        "chat",
        "chat-completions",
        "chat-invoke",
        "classify",
        "dashboard",
        "docs",
        "feedback",
        "health",
        "infer",
        "infer-batch",
        "infer-cloud",
        "keys-create",
        "keys-invoke",
        "keys-list",
        "keys-revoke",
        "keys-rotate",
        "metrics",
        "models",
        "notify-count",
        "notify-end",
        "openai-model",
        "openai-model-of-provider",
        "openai-models",
        "openapi",
        "probe",
        "recompute",
        "request",
        "response",
        "response-cancel",
        "responses",
        "route-line",
        "route-prompt",
    ] == samples
    assert len(triggers) + 3 == len(samples)  # two direct invokes need no trigger, and the authorizer is the gateway's


def test_no_other_site_may_ask() -> None:
    """The API allows no other origin: pages of elsewhere can neither read an answer nor send a key."""
    api = DOCUMENT["Resources"]["HttpApi"]["Properties"]

    assert "CorsConfiguration" not in api
    assert "HttpApi" not in DOCUMENT["Globals"]


@pytest.mark.parametrize("name", resources("AWS::Logs::LogGroup"))
def test_logs_are_encrypted_with_the_key(name: str) -> None:
    """Logs are encrypted with the key of the parameter, where there is one."""
    assert ("KmsKeyArn", None) == of_key(resources("AWS::Logs::LogGroup")[name]["KmsKeyId"])


@each_function
def test_key_is_used_by_who_has_tables_or_queues(name: str) -> None:
    """Whoever may read or write what is encrypted with the key may use it, and nobody else."""
    uses = [of_key(policy) for policy in FUNCTIONS[name].get("Policies", []) if "UseOfKey" in repr(policy)]

    assert ([("UseOfKey", None)] if statements(name) else []) == uses


def test_key_is_used_through_tables_and_queues_only() -> None:
    """No function can decrypt by itself what it has got hold of, and none may change the key or grant its use."""
    (policy,) = resources("AWS::IAM::ManagedPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    services = statement["Condition"]["StringEquals"]["kms:ViaService"]

    assert "KmsKeyArn" == target(statement["Resource"])
    assert ["dynamodb", "sqs"] == [service.argument.partition(".")[0] for service in services]
    assert {"Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo"} == {
        action.removeprefix("kms:") for action in statement["Action"]
    }


def test_template_is_whole_with_a_key() -> None:
    """With the parameter as without it, the template is the same stack."""
    key = {"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"}
    keyed = load_template(ROOT / "template.yaml", endpoint_url="http://localhost", parameters=CLOUD | key)

    assert TEMPLATE.functions.keys() == keyed.functions.keys()
    assert (TEMPLATE.tables, TEMPLATE.queues) == (keyed.tables, keyed.queues)
