"""The deadline of an exchange over TLS, where the socket belongs to the TLS library."""

import datetime as dt
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llm_router.adapters.openai_compatible import OpenAICompatibleClient
from llm_router.errors import ModelTimeoutError, ModelUnavailableError
from llm_router.models import ModelCall
from tests.fakes import FakeSecret

CALL = ModelCall(model="ollama/llama3.2", prompt="Hi", max_tokens=8)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
PIECE = b'data: {"model": "m", "choices": [{"index": 0, "delta": {"content": "Py"}}]}\n\n'


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(name="certificate")
def self_signed_certificate(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "certificate.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem


@pytest.fixture(name="stalling")
def stalling_server(certificate: Path) -> Iterator[str]:
    """A server that begins an answer and then waits for the client to go."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        try:
            with connection, context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(65536)
                secured.sendall(HEAD + PIECE)
                while secured.recv(65536):
                    pass
        except OSError:
            return  # the client is gone, or did not trust us

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        listener.settimeout(10)
        served = threads.submit(serve, listener)
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        served.result(timeout=10)


def test_deadline_ends_a_stalled_answer_over_tls(stalling: str, certificate: Path) -> None:
    """The text so far has come; at the deadline the read ends, and so does the connection, which the server sees."""
    transport = httpx.HTTPTransport(verify=ssl.create_default_context(cafile=certificate))
    client = OpenAICompatibleClient(stalling, api_key=FakeSecret("sk"), model="m", clock=now_ms, transport=transport)
    answer = client.generate(CALL, deadline_ms=now_ms() + 500)
    first = next(answer)

    with pytest.raises(ModelTimeoutError):
        next(answer)

    assert first == "Py"


def test_certificate_nobody_vouches_for_is_not_trusted(stalling: str) -> None:
    """The key is not sent to a server that cannot show who it is."""
    client = OpenAICompatibleClient(stalling, api_key=FakeSecret("sk"), model="m", clock=now_ms)

    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        list(client.generate(CALL, deadline_ms=now_ms() + 5_000))
