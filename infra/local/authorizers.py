"""Reads the authorizers of a template's HTTP API, and which routes they guard."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from infra.local.intrinsics import TemplateError
from infra.local.naming import FUNCTION_TYPE, HTTP_API_TYPE, Stack
from infra.local.resources import Authorizer, Route

_NOBODY: Final = "NONE"
# SAM sends no TTL of its own, and API Gateway then keeps nothing.
_DEFAULT_TTL_SECONDS: Final = 0
_PROPERTIES: Final = {
    "AuthorizerPayloadFormatVersion",
    "EnableFunctionDefaultPermissions",
    "EnableSimpleResponses",
    "FunctionArn",
    "Identity",
}


@dataclass(frozen=True)
class Authorizers:
    """The authorizers by name, and the one that guards a route which names none."""

    by_name: Mapping[str, Authorizer]
    default: str = _NOBODY

    @classmethod
    def read(cls, stack: Stack, common: Mapping[str, Any]) -> Self:
        """Read them from the template's one HTTP API, or from `Globals.HttpApi`.

        Raises:
            TemplateError: an authorizer is not one that the twin runs.
        """
        apis = [common, *map(stack.properties, stack.of_type(HTTP_API_TYPE))]
        auth = stack.resolver.resolve({key: value for api in apis for key, value in api.get("Auth", {}).items()})
        functions = {stack.names[logical_id]: logical_id for logical_id in stack.of_type(FUNCTION_TYPE)}
        by_name = {name: _read(name, own, functions) for name, own in auth.get("Authorizers", {}).items()}
        default = auth.get("DefaultAuthorizer", _NOBODY)
        if default not in {_NOBODY, *by_name}:
            raise TemplateError(f"there is no authorizer {default}")
        return cls(by_name, default)

    def protect(self, route: Route, name: str, auth: Mapping[str, Any]) -> Route:
        """Return a route with what guards it.

        Raises:
            TemplateError: it names an authorizer that there is not.
        """
        chosen = auth.get("Authorizer", self.default)
        if chosen not in {_NOBODY, *self.by_name}:
            raise TemplateError(f"{route.function}.{name}: there is no authorizer {chosen}")
        return replace(route, authorizer=self.by_name.get(chosen))


def _read(name: str, own: Mapping[str, Any], functions: Mapping[str, str]) -> Authorizer:
    if unknown := own.keys() - _PROPERTIES:
        raise TemplateError(f"{name}: the twin's authorizers do not do {', '.join(sorted(unknown))}")
    if (str(own.get("AuthorizerPayloadFormatVersion")), own.get("EnableSimpleResponses")) != ("2.0", True):
        raise TemplateError(f"{name}: the twin's authorizers speak payload format 2.0 with simple responses")
    identity = own.get("Identity", {})
    if unknown := identity.keys() - {"Headers", "ReauthorizeEvery"}:
        raise TemplateError(f"{name}: the twin's authorizers do not know callers by {', '.join(sorted(unknown))}")
    return Authorizer(
        function=functions[own["FunctionArn"].rsplit(":", 1)[-1]],
        headers=tuple(header.lower() for header in identity.get("Headers", ())),
        result_ttl_seconds=float(identity.get("ReauthorizeEvery", _DEFAULT_TTL_SECONDS)),
    )
