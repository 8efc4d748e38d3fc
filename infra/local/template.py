"""Reads a SAM template into what the twin runs, so that nothing is declared twice."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from infra.local.authorizers import Authorizers
from infra.local.events import read_event
from infra.local.intrinsics import TemplateError, as_text, load_yaml
from infra.local.naming import (
    FUNCTION_TYPE,
    LAYER_TYPE,
    QUEUE_TYPE,
    TABLE_TYPE,
    Stack,
    name_resources,
)
from infra.local.resources import Event, Function, Layer, Queue, QueueEvent, Table, Template

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_CREATE_TABLE_ARGUMENTS: Final = {
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "ProvisionedThroughput",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "VectorIndexes",
    "StreamSpecification",
}
_QUEUE_ATTRIBUTES: Final[tuple["QueueAttributeNameType", ...]] = (
    "VisibilityTimeout",
    "DelaySeconds",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "FifoQueue",
    "ContentBasedDeduplication",
)


def load_template(
    path: Path,
    *,
    endpoint_url: str,
    parameters: Mapping[str, str] | None = None,
    environment_overrides: Mapping[str, str] | None = None,
    build_dir: Path | None = None,
) -> Template:
    """Read a template as the twin deploys it; resource types the twin does not run are left out.

    Args:
        path: The SAM template; `CodeUri` and `ContentUri` are relative to its folder.
        endpoint_url: Address of the twin's cloud, which queue URLs begin with.
        parameters: Values of template parameters; the rest have their defaults.
        environment_overrides: Values of environment variables, for every function that declares the name.
        build_dir: Where makefile layers are built; `.build/layers` beside the template by default.

    Raises:
        TemplateError: The template is broken, or asks for something the twin does not do.
    """
    document = load_yaml(path)
    common = document.get("Globals", {})
    stack = name_resources(document, endpoint_url=endpoint_url, parameters=parameters or {})
    reader = _Reader(
        folder=path.parent.resolve(),
        build_dir=(build_dir or path.parent / ".build" / "layers").resolve(),
        stack=stack,
        authorizers=Authorizers.read(stack, common.get("HttpApi", {})),
        common=common.get("Function", {}),
        overrides=environment_overrides or {},
    )
    template = reader.read()
    _check_overrides(template.functions.values(), environment_overrides or {})
    _check_visibility(template)
    return template


@dataclass(frozen=True)
class _Reader:
    """One pass over the resources; `common` is the template's `Globals.Function`."""

    folder: Path
    build_dir: Path
    stack: Stack
    authorizers: Authorizers
    common: Mapping[str, Any]
    overrides: Mapping[str, str]

    def read(self) -> Template:
        functions = {logical_id: self._function(logical_id) for logical_id in self.stack.of_type(FUNCTION_TYPE)}
        return Template(
            functions=functions,
            tables=tuple(map(self._table, self.stack.of_type(TABLE_TYPE))),
            queues=tuple(map(self._queue, self.stack.of_type(QUEUE_TYPE))),
            events=tuple(event for logical_id in functions for event in self._events(logical_id)),
        )

    def _function(self, logical_id: str) -> Function:
        own = self.stack.properties(logical_id)
        used = {**self.common, **own}
        resolve = self.stack.resolver.resolve
        code_uri = self.folder / resolve(used["CodeUri"])
        if not code_uri.is_dir():
            raise TemplateError(f"{logical_id}: CodeUri {code_uri} is no folder")
        return Function(
            logical_id=logical_id,
            name=self.stack.names[logical_id],
            code_uri=code_uri,
            handler=resolve(used["Handler"]),
            timeout_seconds=int(resolve(used.get("Timeout", 3))),
            memory_size_mb=int(resolve(used.get("MemorySize", 128))),
            environment=self._environment(own),
            layers=tuple(map(self._layer, resolve([*self.common.get("Layers", []), *own.get("Layers", [])]))),
        )

    def _environment(self, own: Mapping[str, Any]) -> dict[str, str]:
        sections = (self.common, own)
        declared = {
            name: value
            for section in sections
            for name, value in section.get("Environment", {}).get("Variables", {}).items()
        }
        overrides = {name: value for name, value in self.overrides.items() if name in declared}
        resolved = self.stack.resolver.resolve({**declared, **overrides})
        return {name: as_text(value) for name, value in resolved.items()}

    def _layer(self, logical_id: str) -> Layer:
        resource = self.stack.resources.get(logical_id)
        if resource is None or resource["Type"] != LAYER_TYPE:
            raise TemplateError(f"layer {logical_id} is not in the template")
        content = self.folder / self.stack.resolver.resolve(resource["Properties"]["ContentUri"])
        match resource.get("Metadata", {}).get("BuildMethod"):
            case "makefile":
                built = self.build_dir / logical_id
                return Layer(logical_id, python_root=built / "python", opt_root=built)
            case None:
                return Layer(logical_id, python_root=content / "python", opt_root=content)
            case _:
                # SAM's Python builder puts the folder itself under python/, so the source has no /opt shape.
                return Layer(logical_id, python_root=content, opt_root=None)

    def _table(self, logical_id: str) -> Table:
        resolve, own = self.stack.resolver.resolve, self.stack.properties(logical_id)
        ttl = resolve(own.get("TimeToLiveSpecification", {}))
        return Table(
            logical_id=logical_id,
            name=self.stack.names[logical_id],
            properties=resolve({name: value for name, value in own.items() if name in _CREATE_TABLE_ARGUMENTS}),
            ttl_attribute=ttl.get("AttributeName") if ttl.get("Enabled") else None,
        )

    def _queue(self, logical_id: str) -> Queue:
        resolve, own = self.stack.resolver.resolve, self.stack.properties(logical_id)
        redrive_policy = resolve(own.get("RedrivePolicy"))
        return Queue(
            logical_id=logical_id,
            name=self.stack.names[logical_id],
            attributes={name: as_text(resolve(own[name])) for name in _QUEUE_ATTRIBUTES if name in own},
            redrive_policy=json.dumps(redrive_policy) if redrive_policy else None,
        )

    def _events(self, function: str) -> Iterator[Event]:
        for name, event in self.stack.properties(function).get("Events", {}).items():
            properties = self.stack.resolver.resolve(event.get("Properties", {}))
            if (read := read_event(function, name, event["Type"], properties, self.authorizers)) is not None:
                yield read


def _check_overrides(functions: Iterable[Function], overrides: Mapping[str, str]) -> None:
    declared = {name for function in functions for name in function.environment}
    if unknown := overrides.keys() - declared:
        raise TemplateError(f"no function declares the environment variable {', '.join(sorted(unknown))}")


def _check_visibility(template: Template) -> None:
    """Lambda refuses such a mapping too: the message would come back while it is still being worked on."""
    hidden_seconds = {queue.name: queue.visibility_timeout_seconds for queue in template.queues}
    for event in template.events_of(QueueEvent):
        timeout = template.functions[event.function].timeout_seconds
        if timeout > hidden_seconds.get(event.queue, timeout):
            raise TemplateError(f"{event.function}: its timeout is longer than {event.queue} hides a message")
