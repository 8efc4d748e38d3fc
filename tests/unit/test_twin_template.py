from pathlib import Path
from typing import Any

import pytest

from infra.local.intrinsics import TemplateError
from infra.local.resources import Authorizer, Function, QueueEvent, Route, ScheduleEvent, StreamEvent, Template
from infra.local.template import load_template

TEMPLATE = """
Parameters:
  Stage: {Type: String, Default: dev}
  Limit: {Type: Number, Default: 7}
  Network: {Type: AWS::EC2::VPC::Id}
Conditions:
  IsProduction: !Equals [!Ref Stage, prod]
  IsSmall: !Not [!Condition IsProduction]
Globals:
  Function:
    CodeUri: src/
    Timeout: 10
    Layers: [!Ref CoreLayer]
    Environment:
      Variables: {STAGE: !Ref Stage, SHARED: common}
Resources:
  CoreLayer:
    Type: AWS::Serverless::LayerVersion
    Metadata: {BuildMethod: python3.13}
    Properties: {ContentUri: layers/core}
  DepsLayer:
    Type: AWS::Serverless::LayerVersion
    Metadata: {BuildMethod: makefile}
    Properties: {ContentUri: layers/deps}
  RawLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/raw}
  WorkerRole:
    Type: AWS::IAM::Role
    Properties: {Policies: !Cidr [unsupported, but not looked at]}
  OnlyProduction:
    Type: AWS::SQS::Queue
    Condition: IsProduction
  WorkQueue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "${AWS::StackName}-work-${Stage}"
      VisibilityTimeout: 60
      KmsMasterKeyId: alias/key
      RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadQueue.Arn, maxReceiveCount: 3}
  DeadQueue:
    Type: AWS::SQS::Queue
  ItemTable:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      VectorIndexes: [{IndexName: meaning}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
      SSESpecification: {SSEEnabled: true}
  PlainFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: plain.app.handler
  WorkerFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub worker-${Stage}
      Role: !GetAtt WorkerRole.Arn
      Handler: worker.app.handler
      MemorySize: !Ref Limit
      Layers: [!Ref DepsLayer, !Ref RawLayer]
      Environment:
        Variables:
          SHARED: own
          FLAG: true
          COUNT: 3
          TABLE: !Ref ItemTable
          TABLE_ARN: !GetAtt ItemTable.Arn
          QUEUE_URL: !Ref WorkQueue
          QUEUE_ARN: !GetAtt [WorkQueue, Arn]
          LONG: {"Fn::Sub": ["${Word}/${!Kept}", {Word: !Join ["-", [a, !Ref Stage]]}]}
          SIZE: !If [IsSmall, small, large]
          NOTHING: !If [IsProduction, something, !Ref AWS::NoValue]
      Events:
        Open: {Type: HttpApi, Properties: {Path: "/items/{id}", Method: get, Auth: {Authorizer: NONE}}}
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt WorkQueue.Arn
            BatchSize: 5
            MaximumBatchingWindowInSeconds: 2
            ScalingConfig: {MaximumConcurrency: 2}
            FunctionResponseTypes: [ReportBatchItemFailures]
        Stream:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt ItemTable.StreamArn
            StartingPosition: TRIM_HORIZON
            MaximumRetryAttempts: 4
            BisectBatchOnFunctionError: true
            DestinationConfig: {OnFailure: {Destination: !GetAtt DeadQueue.Arn}}
            FilterCriteria: {Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]}
        Tick: {Type: Schedule, Properties: {Schedule: rate(5 minutes)}}
        Off: {Type: Schedule, Properties: {Schedule: rate(1 minute), Enabled: false}}
"""


def _guarded(**changes: str) -> str:
    """Return `Globals` with an authorizer that guards every route which names none."""
    usual = {
        "FunctionArn": "!GetAtt WorkerFunction.Arn",
        "AuthorizerPayloadFormatVersion": '"2.0"',
        "EnableSimpleResponses": "true",
        "Identity": "{Headers: [X-Key], ReauthorizeEvery: 30}",
    }
    own = ", ".join(f"{name}: {value}" for name, value in (usual | changes).items())
    return f"Globals:\n  HttpApi: {{Auth: {{DefaultAuthorizer: Keys, Authorizers: {{Keys: {{{own}}}}}}}}}\n"


def _load(folder: Path, text: str = TEMPLATE, **options: Any) -> Template:
    (folder / "src").mkdir(exist_ok=True)
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return load_template(path, endpoint_url="http://cloud:1", **options)


def _worker(folder: Path, **options: Any) -> Function:
    return _load(folder, **options).functions["WorkerFunction"]


def test_a_function_has_what_globals_and_it_say(tmp_path: Path) -> None:
    """Scalars of the function win, environments merge, and layers of Globals come first."""
    plain, worker = _load(tmp_path).functions.values()

    assert ("PlainFunction", "plain.app.handler", 10, 128) == (
        plain.name,
        plain.handler,
        plain.timeout_seconds,
        plain.memory_size_mb,
    )
    assert {"STAGE": "dev", "SHARED": "common"} == plain.environment
    assert ("worker-dev", 7, tmp_path / "src") == (worker.name, worker.memory_size_mb, worker.code_uri)
    assert "own" == worker.environment["SHARED"]
    assert ["CoreLayer", "DepsLayer", "RawLayer"] == [layer.logical_id for layer in worker.layers]
    assert "arn:aws:lambda:us-east-1:123456789012:function:worker-dev" == worker.arn


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("FLAG", "true"),
        ("COUNT", "3"),
        ("TABLE", "ItemTable"),
        ("TABLE_ARN", "arn:aws:dynamodb:us-east-1:123456789012:table/ItemTable"),
        ("QUEUE_URL", "http://cloud:1/123456789012/local-work-dev"),
        ("QUEUE_ARN", "arn:aws:sqs:us-east-1:123456789012:local-work-dev"),
        ("LONG", "a-dev/${Kept}"),
        ("SIZE", "small"),
    ],
)
def test_intrinsic_functions_give_the_twins_names(tmp_path: Path, name: str, expected: str) -> None:
    """References become the names, ARNs and URLs of the twin's account."""
    assert expected == _worker(tmp_path).environment[name]


def test_no_value_leaves_a_variable_out(tmp_path: Path) -> None:
    """AWS::NoValue removes the entry it is the value of."""
    assert "NOTHING" not in _worker(tmp_path).environment


def test_parameters_change_names_and_conditions(tmp_path: Path) -> None:
    """A given parameter wins over its default and decides which resources there are."""
    template = _load(tmp_path, parameters={"Stage": "prod"})

    assert ["OnlyProduction", "local-work-prod", "DeadQueue"] == [queue.name for queue in template.queues]
    assert "large" == template.functions["WorkerFunction"].environment["SIZE"]


def test_overrides_replace_variables_where_they_are_declared(tmp_path: Path) -> None:
    """An override reaches the functions that declare the name, not the others."""
    plain, worker = _load(tmp_path, environment_overrides={"TABLE": "elsewhere"}).functions.values()

    assert "elsewhere" == worker.environment["TABLE"]
    assert "TABLE" not in plain.environment


def test_layers_are_found_as_sam_builds_them(tmp_path: Path) -> None:
    """A Python layer is its folder, a makefile layer its build, a raw layer's folder is /opt itself."""
    core, deps, raw = _worker(tmp_path, build_dir=tmp_path / "built").layers

    assert (tmp_path / "layers/core", None) == (core.python_root, core.opt_root)
    assert (tmp_path / "built/DepsLayer/python", tmp_path / "built/DepsLayer") == (deps.python_root, deps.opt_root)
    assert (tmp_path / "layers/raw/python", tmp_path / "layers/raw") == (raw.python_root, raw.opt_root)


def test_a_table_keeps_what_create_table_takes(tmp_path: Path) -> None:
    """Keys, stream and vector index are kept as written, TTL apart, and the rest is left out."""
    (table,) = _load(tmp_path).tables

    assert "expires_at" == table.ttl_attribute
    assert {"BillingMode", "AttributeDefinitions", "KeySchema", "VectorIndexes", "StreamSpecification"} == set(
        table.properties
    )


def test_a_queue_keeps_what_create_queue_takes(tmp_path: Path) -> None:
    """Attributes are strings, and the redrive policy is the JSON that SQS reads."""
    work, dead = _load(tmp_path).queues

    assert ({"VisibilityTimeout": "60"}, 60) == (work.attributes, work.visibility_timeout_seconds)
    assert (
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:DeadQueue", "maxReceiveCount": 3}'
        == work.redrive_policy
    )
    assert (None, 30) == (dead.redrive_policy, dead.visibility_timeout_seconds)


def test_events_are_read_with_their_settings(tmp_path: Path) -> None:
    """Every kind of event arrives with what the pollers need; a disabled one is not there."""
    expected = (
        Route("WorkerFunction", "GET", "/items/{id}"),
        QueueEvent("WorkerFunction", "local-work-dev", 5, 2, 2.0, report_item_failures=True),
        StreamEvent(
            function="WorkerFunction",
            table="ItemTable",
            batch_size=100,
            starting_position="TRIM_HORIZON",
            maximum_retries=4,
            bisect=True,
            report_item_failures=False,
            filters=({"eventName": ["INSERT"]},),
            on_failure_queue="DeadQueue",
        ),
        ScheduleEvent("WorkerFunction", "WorkerFunctionTick", 300.0, None),
    )

    assert expected == _load(tmp_path).events


def test_authorizers_guard_what_is_not_open(tmp_path: Path) -> None:
    """A route has the API's default authorizer, with what it is asked about, or none where it says so."""
    guarded = TEMPLATE.replace("Globals:\n", _guarded())
    (open_route,) = _load(tmp_path, guarded).events_of(Route)
    (route,) = _load(tmp_path, guarded.replace(", Auth: {Authorizer: NONE}", "")).events_of(Route)

    assert open_route.authorizer is None
    assert Authorizer("WorkerFunction", ("x-key",), 30.0) == route.authorizer


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("COUNT: 3", "COUNT: !Base64 x", r"template.yaml:\d+: the twin does not know Fn::Base64"),
        ("COUNT: 3", "COUNT: !Ref Missing", r"template.yaml:\d+: Missing is no resource"),
        ("COUNT: 3", "COUNT: !Ref Network", r"template.yaml:\d+: Network is no resource, and no parameter with"),
        ("COUNT: 3", "COUNT: !GetAtt WorkerRole.Arn", r"template.yaml:\d+: the twin has no value for WorkerRole.Arn"),
        ("COUNT: 3", "COUNT: !If [Missing, 1, 2]", r"template.yaml:\d+: no condition is called Missing"),
        ("rate(5 minutes)", "'cron(0 12 * * ? *)'", r"WorkerFunction.Tick: the twin runs rate\(...\) schedules"),
        ("Type: Schedule, Properties: {Schedule: rate(5", "Type: S3, Properties: {Schedule: rate(5", "type S3"),
        ("StartingPosition: TRIM_HORIZON", "BatchSize: 1", "WorkerFunction.Stream: StartingPosition is missing"),
        ("BatchSize: 5", "FilterCriteria: {}", "WorkerFunction.Queue: the twin does not do FilterCriteria"),
        ("BisectBatchOnFunctionError: true", "TumblingWindowInSeconds: 2", "does not do TumblingWindowInSeconds"),
        ("Authorizer: NONE", "Authorizer: Keys", "WorkerFunction.Open: there is no authorizer Keys"),
        ("VisibilityTimeout: 60", "VisibilityTimeout: 9", "its timeout is longer than local-work-dev hides a message"),
        ('["INSERT"]', '[{"numeric": ["=", 1]}]', "filters know"),
        ('{"eventName": ["INSERT"]}', "not json", "is not JSON"),
        ("CodeUri: src/", "CodeUri: missing/", "CodeUri .*missing is no folder"),
        ("[!Ref DepsLayer,", "[!Ref ItemTable,", "layer ItemTable is not in the template"),
        ("Globals:\n", "Globals:\n  HttpApi: {Auth: {DefaultAuthorizer: Keys}}\n", "there is no authorizer Keys"),
        ("Globals:\n", _guarded(JwtConfiguration="{issuer: i}"), "Keys: the twin's authorizers do not do JwtConf"),
        ("Globals:\n", _guarded(EnableSimpleResponses="false"), "payload format 2.0 with simple responses"),
        ("Globals:\n", _guarded(Identity="{QueryStrings: [key]}"), "do not know callers by QueryStrings"),
        ("Resources:", "Resources: [", "is not YAML"),
    ],
)
def test_what_the_twin_cannot_do_is_an_error_with_its_place(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    """Nothing is skipped in silence: the message names the line or the event."""
    assert old in TEMPLATE

    with pytest.raises(TemplateError, match=complaint):
        _load(tmp_path, TEMPLATE.replace(old, new))


def test_an_unknown_parameter_is_an_error(tmp_path: Path) -> None:
    """A misspelt parameter would otherwise change nothing."""
    with pytest.raises(TemplateError, match="no parameter Stagge"):
        _load(tmp_path, parameters={"Stagge": "prod"})
