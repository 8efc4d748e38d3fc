"""Two homes for every contract case: moto inside the process, and moto behind a real HTTP server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from moto import mock_aws
from moto.server import DomainDispatcherApplication, create_backend_app
from mypy_boto3_dynamodb import DynamoDBClient
from werkzeug.serving import WSGIRequestHandler, make_server

from infra.local.vectors import install
from tests.contract.vector_tables import CREDENTIALS

install()


class QuietHandler(WSGIRequestHandler):
    """A request handler that keeps the test report free of access logs."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def moto_server_url() -> Iterator[str]:
    """Serve moto on a free port, one request at a time."""
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=False, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Home:
    """Where a case runs; makes clients that are closed with it."""

    endpoint_url: str | None
    closing: ExitStack = field(default_factory=ExitStack)

    def client(self, region: str = "us-east-1", *, validate: bool = True, account: str | None = None) -> DynamoDBClient:
        """Return a client; without `validate` it sends requests that botocore would refuse."""
        client = boto3.client(
            "dynamodb",
            region_name=region,
            endpoint_url=self.endpoint_url,
            config=Config(parameter_validation=validate, retries={"total_max_attempts": 1}),
            **CREDENTIALS,
        )
        if account:
            client.meta.events.register("before-call.dynamodb", _account_header(account))
        self.closing.callback(client.close)
        return client


def _account_header(account: str) -> Callable[..., None]:
    def add(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-moto-account-id"] = account

    return add


@pytest.fixture(params=["in-process", "server"])
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    """Run the case once in each home, with empty tables."""
    if request.param == "in-process":
        with mock_aws():
            home = Home(endpoint_url=None)
            yield home
            home.closing.close()
    else:
        url = request.getfixturevalue("moto_server_url")
        home = Home(endpoint_url=url)
        yield home
        home.closing.close()
        httpx.post(f"{url}/moto-api/reset").raise_for_status()


@pytest.fixture
def dynamodb(home: Home) -> DynamoDBClient:
    """Return a client of the home's default account and region."""
    return home.client()


@pytest.fixture
def unchecked(home: Home) -> DynamoDBClient:
    """Return a client that leaves validation to the server."""
    return home.client(validate=False)
