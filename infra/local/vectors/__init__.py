"""Native vector indexes and SearchVectors for moto's DynamoDB, in the process (`mock_aws`) and as a server.

    from infra.local.vectors import install

    install()  # before the first mock, server or table

Searches are exact, and an index follows a write at once; DynamoDB itself is approximate and eventually consistent.
`lag_searches` makes a table's next searches fail the way a fresh index does.

moto's own limits remain: CloudFormation and restored backups make tables without vector indexes, PartiQL does not see
them, and only PutItem, UpdateItem and DeleteItem report what an index bills.
"""

import re

from moto import backend_index
from moto.dynamodb import urls
from moto.dynamodb.models import dynamodb_backends

from infra.local.vectors.backend import VectorBackend
from infra.local.vectors.responses import VectorHandler
from infra.local.vectors.table import VectorTable

__all__ = ["install", "lag_searches"]

SEARCH_HOSTS = (
    r"https?://search-dynamodb\.(.+)\.amazonaws\.com",
    r"https?://(.+)\.search-ddb\.(.+)\.amazonaws\.com",
)


def install() -> None:
    """Teach moto vector indexes, before its first mock, server or table; calling it again changes nothing."""
    dynamodb_backends.backend = VectorBackend
    urls.url_paths["{0}/"] = VectorHandler.dispatch
    for host in SEARCH_HOSTS:
        if host not in urls.url_bases:
            urls.url_bases.append(host)
            backend_index.backend_url_patterns.append(("dynamodb", re.compile(host)))


def lag_searches(table_name: str, searches: int) -> None:
    """Let the next `searches` SearchVectors calls on a table fail as if its index were not there yet.

    DynamoDB's search endpoint does so for a while after an index turned ACTIVE.

    Raises:
        LookupError: no account and region has a table of that name.
    """
    backends = [backend for _, _, backend in dynamodb_backends.iter_backends()]
    tables = [backend.tables.get(table_name) for backend in backends if isinstance(backend, VectorBackend)]
    found = [table for table in tables if isinstance(table, VectorTable)]
    if not found:
        raise LookupError(f"no table named {table_name}")
    for table in found:
        table.lagging_searches = searches
