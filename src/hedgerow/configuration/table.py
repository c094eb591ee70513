"""Tables of the file, described key by key: reading and the reference documentation are made from the same rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from hedgerow.configuration.file import Place
from hedgerow.configuration.values import Reader, shown_text
from hedgerow.settings.errors import InvalidSetting

Rule = TypeVar("Rule", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table."""

    name: str
    reader: Reader
    description: str
    field: str = ""
    """Of the Struct, if it is not the key's name."""
    example: str = ""
    """As TOML, where the default is none, or says little."""
    default: str = ""
    """In words, where the Struct's own says little."""

    @property
    def target(self) -> str:
        """The name of the Struct's field."""
        return self.field or self.name

    def show(self, value: Any) -> str:
        """Return a value of it as TOML has it."""
        return self.reader.show(value)


@dataclass(frozen=True)
class Table(Generic[Rule]):
    """A table that becomes a Struct."""

    struct: type[Rule]
    keys: tuple[Key, ...]
    accepted: str
    """`a table like { after = "300ms" }`."""
    check: Callable[[Rule, Place], None] = lambda _rule, _place: None
    """Raises InvalidSetting for values that are each possible, but not together."""

    def read(self, value: object, place: Place) -> Rule:
        """Return what a table says; raises InvalidSetting."""
        return self.read_with({}, value, place)

    def read_with(self, known: dict[str, Any], value: object, place: Place) -> Rule:
        """Do so where some fields are known already."""
        if not isinstance(value, dict):
            raise place.reject(value, self.accepted)
        keys = {key.name: key for key in self.keys}
        found = dict(known)
        written: dict[str, str] = {}
        for written_key, inner in value.items():
            name = written_key.replace("-", "_")
            if name not in keys:
                raise place.reject_key(written_key, keys)
            at = place.at(written_key)
            if name in written:
                raise InvalidSetting(at.line, written_key, f"each key once; {written[name]} is the same one")
            written[name] = written_key
            found[keys[name].target] = keys[name].reader.read(inner, at)
        missing = next((key for key in self.keys if self.is_required(key) and key.target not in found), None)
        if missing is not None:
            raise place.at(missing.name).missing(missing.reader.accepted)
        rule = self.struct(**found)
        self.check(rule, place)
        return rule

    def is_required(self, key: Key) -> bool:
        """Return whether there is no default."""
        return self.default_of(key) is msgspec.NODEFAULT and not key.default

    def default_of(self, key: Key) -> Any:
        """Return the default of a key, or `msgspec.NODEFAULT`."""
        return _defaults(self.struct)[key.target]

    def show(self, value: Rule) -> str:
        """Return what was said, without what is the default anyway, as an inline table."""
        found = [(key, getattr(value, key.target)) for key in self.keys]
        pairs = [
            f"{key.name} = {key.reader.show(inner)}" for key, inner in found if inner != self.default_of(key)
        ]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"


@cache
def _defaults(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(struct)
    }


@dataclass(frozen=True, slots=True)
class OrWord:
    """A word that stands for a value of the settings, or a table."""

    word: str
    meaning: Any
    table: Table[Any]

    @property
    def accepted(self) -> str:
        return f"{self.table.accepted}, or {shown_text(self.word)}"

    def read(self, value: object, place: Place) -> Any:
        if value == self.word:
            return self.meaning
        if isinstance(value, str):
            raise place.reject(value, self.accepted)
        return self.table.read(value, place)

    def show(self, value: Any) -> str:
        return shown_text(self.word) if value == self.meaning else self.table.show(value)


@dataclass(frozen=True, slots=True)
class OrTable:
    """A single value, or a table."""

    single: Reader
    table: Table[Any]

    @property
    def accepted(self) -> str:
        return f"{self.single.accepted}, or {self.table.accepted}"

    def read(self, value: object, place: Place) -> Any:
        if isinstance(value, dict):
            return self.table.read(value, place)
        if isinstance(value, str):
            return self.single.read(value, place)
        raise place.reject(value, self.accepted)

    def show(self, value: Any) -> str:
        return self.table.show(value) if isinstance(value, self.table.struct) else self.single.show(value)


@dataclass(frozen=True, slots=True)
class OneKey:
    """A table with one key, of which the value is all there is to it; so there is room for others."""

    table: Table[Any]

    @property
    def accepted(self) -> str:
        return self.table.accepted

    @property
    def _key(self) -> Key:
        return self.table.keys[0]

    def read(self, value: object, place: Place) -> Any:
        return getattr(self.table.read(value, place), self._key.target)

    def show(self, value: Any) -> str:
        return f"{{ {self._key.name} = {self._key.show(value)} }}"


def nested_table(reader: Reader) -> Table[Any] | None:
    """Return the table that a reader may read, if there is one."""
    if isinstance(reader, Table):
        return reader
    return reader.table if isinstance(reader, OrWord | OrTable | OneKey) else None


def walk(table: Table[Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Table[Any], Key]]:
    """Yield each key of a table and of those within it: where it is, its table and itself."""
    for key in table.keys:
        yield (*path, key.name), table, key
        inner = nested_table(key.reader)
        if inner is not None:
            yield from walk(inner, (*path, key.name))
