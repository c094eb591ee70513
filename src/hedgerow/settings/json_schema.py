"""JSON Schemas of routes, made ready. The library is loaded only where there is one: it takes 50 ms and 4 MB."""

from typing import Any, Protocol

from hedgerow.settings.errors import InvalidSetting


class SchemaError(Protocol):
    """One rule that a document does not keep."""

    instance_path: list[str | int]
    schema_path: list[str | int]


class Validator(Protocol):
    """A JSON Schema that documents are checked by."""

    def is_valid(self, instance: Any) -> bool: ...
    def iter_errors(self, instance: Any) -> Any: ...


def compile_schema(schema: dict[str, Any], setting: str) -> Validator:
    """Return what checks documents by `schema`, of the draft that it names, else 2020-12.

    Raises InvalidSetting if it is none, or refers to one elsewhere: nothing is fetched.
    """
    import jsonschema_rs  # noqa: PLC0415

    try:
        validator: Validator = jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
    except (ValueError, TypeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidSetting(
            setting, schema, f"a JSON Schema without references elsewhere ({reason})"
        ) from None
    return validator


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")
