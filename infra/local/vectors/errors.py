"""The errors DynamoDB answers with, as exceptions moto can serialise.

JsonRESTError
 ▸ MockValidationException   a request that is wrong as a whole (made with `invalid`)
 ▸ ValidationError           a vector write that is refused
 ▸ LimitExceededError        more than one online index operation
"""

from moto.core.exceptions import JsonRESTError
from moto.dynamodb.exceptions import ERROR_TYPE_PREFIX, MockValidationException

PARAMETER_PREFIX = "One or more parameter values were invalid: "


def invalid(message: str) -> MockValidationException:
    """Make a ValidationException; inside a transaction moto raises it at the top level."""
    return MockValidationException(message)


def invalid_parameter(message: str) -> MockValidationException:
    """Make a ValidationException with DynamoDB's usual prefix for bad parameters."""
    return invalid(PARAMETER_PREFIX + message)


class ValidationError(JsonRESTError):
    """A refused vector write: ValidationException alone, a cancellation reason in a transaction.

    moto takes the reason's code from the class name and its text from `str`, hence both.
    """

    def __init__(self, message: str) -> None:
        super().__init__(ERROR_TYPE_PREFIX + "ValidationException", message)

    def __str__(self) -> str:
        return self.message


class LimitExceededError(JsonRESTError):
    """A second index creation or deletion in one request."""

    def __init__(self) -> None:
        super().__init__(
            ERROR_TYPE_PREFIX + "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )
