"""Gives every resource of a template the name, ARN or URL it has in the twin's account."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.local.intrinsics import Resolver, TemplateError, as_text
from infra.local.resources import ACCOUNT_ID, REGION, arn

FUNCTION_TYPE: Final = "AWS::Serverless::Function"
LAYER_TYPE: Final = "AWS::Serverless::LayerVersion"
TABLE_TYPE: Final = "AWS::DynamoDB::Table"
QUEUE_TYPE: Final = "AWS::SQS::Queue"
HTTP_API_TYPE: Final = "AWS::Serverless::HttpApi"

_NAME_PROPERTIES: Final = {FUNCTION_TYPE: "FunctionName", TABLE_TYPE: "TableName", QUEUE_TYPE: "QueueName"}
_PSEUDO_PARAMETERS: Final = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "local",
    "AWS::URLSuffix": "amazonaws.com",
}


@dataclass(frozen=True)
class Stack:
    """The resources whose condition holds, their physical names, and a resolver that knows both."""

    resources: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, str]
    resolver: Resolver

    def of_type(self, kind: str) -> Iterator[str]:
        """Give the logical ids of one resource type, in the template's order."""
        return (logical_id for logical_id, resource in self.resources.items() if resource["Type"] == kind)

    def properties(self, logical_id: str) -> Mapping[str, Any]:
        """Give a resource's properties, unresolved."""
        properties: Mapping[str, Any] = self.resources[logical_id].get("Properties", {})
        return properties


def name_resources(document: Mapping[str, Any], *, endpoint_url: str, parameters: Mapping[str, str]) -> Stack:
    """Resolve parameters and conditions, then name what is left.

    Raises:
        TemplateError: A value is given for a parameter the template does not declare.
    """
    declared = document.get("Parameters", {})
    if unknown := parameters.keys() - declared.keys():
        raise TemplateError(f"the template has no parameter {', '.join(sorted(unknown))}")
    references: dict[str, Any] = dict(_PSEUDO_PARAMETERS)
    references |= {name: as_text(body["Default"]) for name, body in declared.items() if "Default" in body}
    references |= parameters
    attributes: dict[str, str] = {}
    resolver = Resolver(references, attributes, document.get("Conditions", {}))
    resources = {
        logical_id: resource
        for logical_id, resource in document.get("Resources", {}).items()
        if "Condition" not in resource or resolver.condition(resource["Condition"], logical_id)
    }
    names = {}
    for logical_id, resource in resources.items():
        name_property = _NAME_PROPERTIES.get(resource["Type"], "")
        name = resolver.resolve(resource.get("Properties", {}).get(name_property, logical_id))
        names[logical_id] = name
        references[logical_id], own_attributes = _identity(resource["Type"], name, endpoint_url)
        attributes |= {f"{logical_id}.{attribute}": value for attribute, value in own_attributes.items()}
    return Stack(resources, names, resolver)


def _identity(kind: str, name: str, endpoint_url: str) -> tuple[str, dict[str, str]]:
    """Give what `Ref` and `Fn::GetAtt` mean for a resource."""
    if kind == FUNCTION_TYPE:
        return name, {"Arn": arn("lambda", f"function:{name}")}
    if kind == TABLE_TYPE:
        table_arn = arn("dynamodb", f"table/{name}")
        return name, {"Arn": table_arn, "StreamArn": f"{table_arn}/stream/latest"}
    if kind == QUEUE_TYPE:
        return f"{endpoint_url}/{ACCOUNT_ID}/{name}", {"Arn": arn("sqs", name), "QueueName": name}
    return name, {}
