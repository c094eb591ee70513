from typing import Any

import pytest

from hedgerow.settings.errors import InvalidSetting
from hedgerow.settings.json_schema import compile_schema


def test_a_schema_accepts_and_rejects_documents() -> None:
    validator = compile_schema({"type": "object", "required": ["hits"]}, "x")
    assert validator.is_valid({"hits": 1})
    assert not validator.is_valid({})
    (error,) = validator.iter_errors({})
    assert list(error.schema_path) == ["required"]


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"pattern": "("}, {"$ref": "#/nope"}, {"$ref": "file:///etc/hostname"}]
)
def test_what_is_no_schema_is_an_error_of_the_setting(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting) as caught:
        compile_schema(schema, "success.json_schema of route r")
    assert str(caught.value).startswith("success.json_schema of route r: ")
    assert "\n" not in str(caught.value)
