import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.http_api import PortInUseError, listen
from infra.local.intrinsics import TemplateError
from infra.local.runtime import NotBuiltError
from infra.local.twin import Twin
from tests.integration.local.conftest import SAMPLE

TEMPLATE = SAMPLE / "template.yaml"


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_nothing_is_left_after_a_twin(build_dir: Path) -> None:
    """Workers, in process groups of their own so that Ctrl-C does not reach them, and every thread are gone."""
    before = _threads()
    log = io.StringIO()
    with Twin(TEMPLATE, build_dir=build_dir, log=log) as twin:
        group = os.getpgid(twin.invoke("EchoFunction", {}).json()["context"]["pid"])

    assert group != os.getpgid(0)
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    assert before == _threads()
    assert "Traceback" not in log.getvalue()


def test_a_caller_under_way_gets_an_error_when_the_twin_stops(build_dir: Path) -> None:
    """A function that is at work when the twin stops does not hold it up."""
    with ThreadPoolExecutor(1) as callers:
        with Twin(TEMPLATE, build_dir=build_dir, log=io.StringIO()) as twin:
            twin.invoke("MisbehaveFunction", {})
            hanging = callers.submit(twin.invoke, "MisbehaveFunction", {"body": "hang"})
        result = hanging.result()

    assert result.is_error


def test_twins_can_follow_each_other_and_share_nothing(build_dir: Path) -> None:
    """A second twin starts with empty tables."""
    with Twin(TEMPLATE, build_dir=build_dir, log=io.StringIO()) as twin:
        twin.client("dynamodb").put_item(TableName="ItemTable", Item={"id": {"S": "old"}})
    with Twin(TEMPLATE, build_dir=build_dir, log=io.StringIO()) as twin:
        found = twin.client("dynamodb").scan(TableName="ItemTable")["Items"]

    assert [] == found


def test_two_twins_at_once_are_refused(build_dir: Path) -> None:
    """The state of moto is the process's, so a second twin is an error and the first goes on."""
    with Twin(TEMPLATE, build_dir=build_dir, log=io.StringIO()) as twin:
        with pytest.raises(RuntimeError, match="another twin"), Twin(TEMPLATE, build_dir=build_dir):
            pass
        result = twin.invoke("EchoFunction", {})

    assert not result.is_error


def test_a_port_in_use_starts_nothing(build_dir: Path) -> None:
    """The port is looked at first."""
    before = _threads()
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError), Twin(TEMPLATE, build_dir=build_dir, port=port):
            pass

    assert before == _threads()


def test_a_layer_that_was_not_built_is_named(tmp_path: Path) -> None:
    """The error says which layer, whose, and what to run."""
    with pytest.raises(NotBuiltError, match="SdkLayer of InspectFunction is not built; run `make layers`"):
        Twin(TEMPLATE, build_dir=tmp_path).__enter__()


def test_an_unknown_override_is_refused(build_dir: Path) -> None:
    """A misspelt environment variable would otherwise change nothing in silence."""
    with pytest.raises(TemplateError, match="GRETING"):
        Twin(TEMPLATE, build_dir=build_dir, environment_overrides={"GRETING": "hi"}).__enter__()
