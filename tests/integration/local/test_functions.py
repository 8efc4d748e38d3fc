import io
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.functions import PayloadTooLargeError
from infra.local.runtime import Environment, RuntimeSettings, worker_environment
from infra.local.runtime_client import RUNTIME_CLIENT, link_distributions
from infra.local.template import load_template
from tests.integration.local.conftest import SAMPLE, Sample


def test_invoke_answers_with_what_the_handler_returned(sample: Sample) -> None:
    """A direct invocation gives the handler's value; the context knows the name and counts down from the timeout."""
    result = sample.twin.invoke("EchoFunction", {"a": [1, "ü", None]})

    assert not result.is_error
    assert {"a": [1, "ü", None]} == result.json()["event"]
    assert "EchoFunction" == result.json()["context"]["name"]
    assert 0 < result.json()["context"]["remaining_ms"] <= 5000


def test_an_environment_is_reused(sample: Sample) -> None:
    """Two invocations in a row run in the same process, and only a cold start has an init phase."""
    first = sample.twin.invoke("EchoFunction", {})
    second = sample.twin.invoke("EchoFunction", {})

    assert first.json()["context"]["pid"] == second.json()["context"]["pid"]
    assert second.init_ms is None


def test_concurrent_invocations_never_share_a_process(sample: Sample) -> None:
    """Invocations that overlap get processes of their own, and no more than the cap."""
    with ThreadPoolExecutor(30) as callers:
        results = list(callers.map(lambda _: sample.twin.invoke("EchoFunction", {}), range(30)))

    assert 1 <= len({result.json()["context"]["pid"] for result in results}) <= 10


def test_an_exception_is_a_function_error(sample: Sample) -> None:
    """A raised exception comes back as Lambda's error document and leaves the environment alive."""
    result = sample.twin.invoke("MisbehaveFunction", {"body": "raise"})

    assert result.is_error
    assert ("ValueError", "as asked") == (result.json()["errorType"], result.json()["errorMessage"])


def test_a_crashed_worker_fails_its_event_and_is_replaced(sample: Sample) -> None:
    """A process that dies gives an error at once; the next event gets a new process."""
    crashed = sample.twin.invoke("MisbehaveFunction", {"body": "crash"})
    after = sample.twin.invoke("MisbehaveFunction", {"body": "behave"})

    assert "Runtime.ExitError" == crashed.json()["errorType"]
    assert crashed.json()["errorMessage"].endswith("exit status 7")
    assert 201 == after.json()["statusCode"]
    assert after.init_ms is not None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_a_worker_started_ends_with_it(sample: Sample) -> None:
    """A process that a handler left behind is ended when its environment is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        event = {"body": "leave a child behind", "port": str(server.getsockname()[1])}
        crashed = sample.twin.invoke("MisbehaveFunction", event)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(20)
            received = connection.recv(1)

    assert "Runtime.ExitError" == crashed.json()["errorType"]
    assert b"" == received


def test_a_worker_that_died_while_idle_is_replaced_in_silence(sample: Sample) -> None:
    """An environment that ends between two events costs nobody an error."""
    first = sample.twin.invoke("EchoFunction", {}).json()["context"]["pid"]
    time.sleep(0.2)  # by now it waits for its next event
    os.kill(first, signal.SIGKILL)
    while _is_alive(first):
        time.sleep(0.01)
    second = sample.twin.invoke("EchoFunction", {})

    assert not second.is_error
    assert first != second.json()["context"]["pid"]


def test_what_a_worker_prints_is_in_the_log(sample: Sample) -> None:
    """Output and tracebacks are kept, each line with the function's name in front."""
    sample.twin.invoke("MisbehaveFunction", {"body": "raise"})
    sample.twin.invoke("MisbehaveFunction", {"body": "crash"})

    assert "[MisbehaveFunction] [ERROR] ValueError: as asked\n" in sample.log.getvalue()


def test_a_dead_environment_says_so_at_once(sample: Sample, tmp_path: Path) -> None:
    """After a crash the environment reports the exit again instead of waiting for a process that is gone."""
    link_distributions(tmp_path, RUNTIME_CLIENT)
    settings = RuntimeSettings(tmp_path, sample.twin.url, io.StringIO())
    environment = Environment(sample.twin.template.functions["MisbehaveFunction"], settings)
    ready = environment.wait_until_ready()
    crashed = environment.invoke("id", b'{"body": "crash"}')
    after = environment.wait_until_ready()
    environment.join(5)

    assert ready is None
    assert after is not None
    assert ["Runtime.ExitError"] * 2 == [json.loads(each.payload)["errorType"] for each in (crashed, after)]


def test_a_function_that_hangs_is_killed_at_its_timeout(sample: Sample) -> None:
    """After the function's timeout the caller has an error and the next event a new process."""
    hung = sample.twin.invoke("MisbehaveFunction", {"body": "hang"})
    after = sample.twin.invoke("MisbehaveFunction", {"body": "behave"})

    assert "Sandbox.Timedout" == hung.json()["errorType"]
    assert hung.json()["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert not after.is_error


def test_an_error_of_the_init_phase_is_reported(sample: Sample) -> None:
    """A module that raises on import fails every invocation with what it raised."""
    result = sample.twin.invoke("BrokenFunction", {})

    assert result.is_error
    assert "no way to start" in result.json()["errorMessage"]


def test_payloads_stay_below_six_megabytes(sample: Sample) -> None:
    """A larger event is refused before the function runs, a larger answer is a function error."""
    with pytest.raises(PayloadTooLargeError):
        sample.twin.invoke("EchoFunction", {"pad": "x" * 6_300_000})
    answer = sample.twin.invoke("MisbehaveFunction", {"body": "answer too much"})

    assert "Function.ResponseSizeTooLarge" == answer.json()["errorType"]


def test_a_function_sees_its_code_its_layers_and_the_runtime_client(sample: Sample) -> None:
    """The path is the function's folder, its layers in order and the runtime; nothing of the virtual environment."""
    seen = sample.twin.invoke("InspectFunction", {}).json()
    code, sdk, shared, runtime = seen["environ"]["PYTHONPATH"].split(os.pathsep)

    assert "hello from a layer" == seen["greeting"]
    assert [str(SAMPLE / "functions"), str(SAMPLE / "shared")] == [code, shared]
    assert sdk.endswith("SdkLayer/python")
    assert Path(runtime, "awslambdaric").is_dir()
    assert not [folder for folder in seen["path"] if folder.endswith("site-packages")]


def test_the_environment_is_lambdas_and_the_templates(sample: Sample) -> None:
    """A worker has Lambda's variables and the template's, resolved, and no secret of the developer's shell."""
    environ = sample.twin.invoke("InspectFunction", {}).json()["environ"]

    assert "good day" == environ["GREETING"]
    assert environ["MODEL_DIR"].endswith("SdkLayer/model")
    assert "ItemTable" == environ["TABLE_NAME"]
    assert sample.twin.queue_url("WorkQueue") == environ["QUEUE_URL"]
    assert ("512", "InspectFunction") == (
        environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
        environ["AWS_LAMBDA_FUNCTION_NAME"],
    )
    assert "on-demand" == environ["AWS_LAMBDA_INITIALIZATION_TYPE"]


def test_no_secret_of_the_developer_reaches_a_worker() -> None:
    """Of the developer's shell a worker sees the search path and the language, and nothing else."""
    function = load_template(SAMPLE / "template.yaml", endpoint_url="http://cloud").functions["EchoFunction"]
    shell = {"PATH": "/bin", "LANG": "C", "OPENAI_API_KEY": "secret", "AWS_PROFILE": "work", "AWS_REGION": "eu-west-1"}
    settings = RuntimeSettings(Path("/runtime"), "http://cloud", io.StringIO(), shell)

    environ = worker_environment(function, settings, "127.0.0.1:1")

    assert ("/bin", "C", "us-east-1") == (environ["PATH"], environ["LANG"], environ["AWS_REGION"])
    assert not {"OPENAI_API_KEY", "AWS_PROFILE"} & environ.keys()


def test_a_functions_sdk_reaches_the_twins_tables(sample: Sample) -> None:
    """boto3 in a worker needs no configuration of its own to write to a table of the template."""
    result = sample.twin.invoke("WriteFunction", {"item": {"id": {"S": "written"}}})
    stored = sample.twin.client("dynamodb").get_item(
        TableName=sample.twin.tables["ItemTable"], Key={"id": {"S": "written"}}
    )

    assert "stored" == result.json()
    assert {"id": {"S": "written"}} == stored["Item"]
