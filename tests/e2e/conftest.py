import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from tests.canary import leaks
from tests.keyed import keyed_client

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


@dataclass(frozen=True)
class Router:
    """The whole stack on this machine, as a client sees it, and the box behind it."""

    twin: Twin
    http: httpx.Client
    box: OllamaStandIn

    def chat(self, message: str, **fields: Any) -> httpx.Response:
        """Ask a question."""
        return self.http.post("/api/v1/chat", json={"message": message, **fields})

    def answer(self, message: str, **fields: Any) -> dict[str, Any]:
        """Ask a question that is answered at once."""
        response = self.chat(message, **fields)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def summary(self) -> dict[str, Any]:
        """Return the analytics summary once the stream has been read to its end."""
        self.twin.drain()
        response = self.http.get("/api/v1/analytics/summary", params={"days": 2})
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def accepted(self, message: str) -> str:
        """Ask a question without waiting, and return where its answer will be."""
        response = self.chat(message, wait_seconds=0)
        assert response.status_code == 202, response.text
        address: str = response.headers["location"]
        return address

    def wait_for(self, address: str, status: str, *, seconds: float = 60) -> dict[str, Any]:
        """Look at a request until it stands where the test wants it."""
        give_up = time.monotonic() + seconds
        while True:
            body: dict[str, Any] = self.http.get(address).json()
            if body["status"] == status:
                return body
            if time.monotonic() > give_up:
                pytest.fail(f"still {body}")
            time.sleep(0.2)

    def forget_pace(self, model: str) -> None:
        """Let the router know nothing of a model's speed, so that a caller waits however long the answer may take."""
        key = {"name": {"S": f"pace#{model}"}}
        self.twin.client("dynamodb").delete_item(TableName=self.twin.tables["StatusTable"], Key=key)

    def items(self, table: str) -> int:
        """Count the items of a table."""
        return self.twin.client("dynamodb").scan(TableName=self.twin.tables[table], Select="COUNT")["Count"]


@contextmanager
def stack(folder: Path, settings: Mapping[str, str] | None = None, **options: Any) -> Iterator[Router]:
    """Run the stack as template.yaml declares it, its log in `folder`; `options` are those of `Twin`."""
    with (
        (folder / "functions.log").open("w") as log,
        OllamaStandIn() as box,
        Twin(
            TEMPLATE, environment_overrides={"OLLAMA_BASE_URL": box.base_url, **(settings or {})}, log=log, **options
        ) as twin,
        keyed_client(twin) as http,
    ):
        yield Router(twin, http, box)


@pytest.fixture(scope="module", autouse=True)
def _logs_repeat_nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look through what the functions of every stack have logged: no prompt, no answer and no key is in it."""
    before = set(logs(tmp_path_factory))
    yield
    written = [path.read_text() for path in logs(tmp_path_factory) if path not in before]

    assert set() == leaks("\n".join(written))


def logs(folders: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the logs of all stacks that have run in this process."""
    # Not into the linked source folders of those who change the template.
    return (path for depth in ("*", "*/*") for path in folders.getbasetemp().glob(f"{depth}/functions.log"))


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """The stack as template.yaml declares it, shared by the tests of a module."""
    with stack(tmp_path_factory.mktemp("twin")) as router:
        yield router
