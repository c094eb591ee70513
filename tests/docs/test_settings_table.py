"""The table of the settings in the README is made from the schema: `python -m docs.test_settings_table` prints it."""

from docs.markdown import ROOT, table
from hedgerow.configuration.sources import CONFIG_FLAG, CONFIG_VARIABLE
from hedgerow.settings.schema import all_settings


def rows() -> list[list[str]]:
    """Return the table, cell by cell."""
    meaning = "see [settings](docs/settings.md)"
    config = [f"`{CONFIG_FLAG}`", f"`{CONFIG_VARIABLE}`", "none", "the path of a TOML file", meaning]
    settings = [
        [f"`{row.flag}`", f"`{row.variable}`", f"`{row.default}`", row.accepted, row.description]
        for row in all_settings().values()
    ]
    return [config, *settings]


def test_the_table_of_the_settings_is_that_of_the_schema() -> None:
    assert table(ROOT / "README.md", "Settings of `hedgerow serve`") == rows()


if __name__ == "__main__":
    for row in rows():
        print("|", " | ".join(row), "|")  # noqa: T201
