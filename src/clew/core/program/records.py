"""Shapes of lists and mappings: records with known keys, things with names, one or more of something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from clew.core.program.model import Json
from clew.core.program.problems import Path, nearest
from clew.core.program.shapes import NOT_AVAILABLE, UNREADABLE, Found, Shape, Text, about_it, said


class ListOf(Struct, frozen=True):
    """A list of one shape, of `most` items where that is given; items that can't be read are left out.

    `placed`: each item as (path, value) once read, so that problems found later know their place.
    """

    item: Shape
    about: str = ""
    least: int = 0
    most: int | None = None
    placed: bool = False

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, list):
            return found.problem(path, f"this is a list, not {said(value)}", "write it as [...]")
        if len(value) < self.least:
            return found.problem(path, "this list is empty", f"at least {self.least} is needed")
        if self.most is not None and len(value) > self.most:
            return found.problem(path, f"a list of {len(value)} items", f"at most {self.most} are allowed")
        items = [((*path, at), self.item.read(item, (*path, at), found)) for at, item in enumerate(value)]
        return [
            (its_path, item) if self.placed else item for its_path, item in items if item is not UNREADABLE
        ]

    def schema(self) -> dict[str, Json]:
        least = {"minItems": self.least} if self.least else {}
        most = {} if self.most is None else {"maxItems": self.most}
        return {"type": "array", "items": self.item.schema(), **least, **most, **about_it(self.about)}


class OneOrMore(Struct, frozen=True):
    """One of a shape, or a list of them; a list of (path, value) once read, as with `placed`."""

    item: Shape
    about: str = ""
    least: int = 1

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if isinstance(value, list) and len(value) < self.least:
            return found.problem(path, "this list is empty", f"at least {self.least} is needed")
        placed = [(path, value)]
        if isinstance(value, list):
            placed = [((*path, at), item) for at, item in enumerate(value)]
        read = [(its_path, self.item.read(item, its_path, found)) for its_path, item in placed]
        return [(its_path, item) for its_path, item in read if item is not UNREADABLE]

    def schema(self) -> dict[str, Json]:
        one = self.item.schema()
        return {
            "oneOf": [one, {"type": "array", "items": one, "minItems": self.least}],
            **about_it(self.about),
        }


class MappingOf(Struct, frozen=True):
    """A mapping from names to one shape; entries that can't be read are left out."""

    item: Shape
    name: Text = Text()
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, dict):
            return found.problem(path, f"this is a mapping, not {said(value)}", "write it as name: value")
        read = {}
        for key, item in value.items():
            its_name = self.name.read(key, (*path, key), found)
            its_value = self.item.read(item, (*path, key), found)
            if its_name is not UNREADABLE and its_value is not UNREADABLE:
                read[key] = its_value
        return read

    def schema(self) -> dict[str, Json]:
        names = {"propertyNames": self.name.schema()} if self.name.pattern else {}
        return {"type": "object", "additionalProperties": self.item.schema(), **names, **about_it(self.about)}


class NamedItems(Struct, frozen=True):
    """Things with names: a mapping from name to thing, or a list of things with a `name`.

    Once read, a list of (path, name, fields). A thing that can't be read keeps its name where it has one,
    with UNREADABLE for its fields: others may refer to it. In a list, `bare` also allows a name alone.
    """

    item: Record | OfKind
    name: Text
    about: str = ""
    bare: bool = False

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if isinstance(value, dict):
            entries = [((*path, key), (*path, key), key, item) for key, item in value.items()]
        elif isinstance(value, list):
            entries = [self._entry(item, (*path, at), found) for at, item in enumerate(value)]
        else:
            found.names_are_complete = False
            return found.problem(path, f"this is a list or a mapping, not {said(value)}")
        return [self._read(*entry, found) for entry in entries if entry[2] is not None]

    def _entry(self, item: Json, path: Path, found: Found) -> tuple[Path, Path, str | None, Json]:
        if self.bare and isinstance(item, str):
            return path, path, item, {}
        if isinstance(item, dict):
            rest = {key: one for key, one in item.items() if key != "name"}
            if isinstance(item.get("name"), str):
                return path, (*path, "name"), item["name"], rest
            if "name" in item:
                found.problem((*path, "name"), f"this is a text, not {said(item['name'])}")
            else:
                found.problem(path, "the key 'name' is missing", self.name.about)
            # Its own mistakes are told all the same; what it is called can't be known.
            self.item.read(rest, path, found)
        else:
            found.problem(
                path, f"this is a mapping, not {said(item)}", "write name: ... and the rest below it"
            )
        found.names_are_complete = False
        return path, path, None, None

    def _read(self, path: Path, name_path: Path, name: str, item: Json, found: Found) -> Any:
        self.name.read(name, name_path, found)
        return path, name, self.item.read(item, path, found)

    def schema(self) -> dict[str, Json]:
        one = self.item.schema()
        mapping = {"type": "object", "additionalProperties": one, "propertyNames": self.name.schema()}
        named = self.item.named_schema(self.name)
        items = {"oneOf": [self.name.schema(), named]} if self.bare else named
        return {"oneOf": [mapping, {"type": "array", "items": items}], **about_it(self.about)}


class Key(Struct, frozen=True):
    """One key of a record."""

    shape: Shape
    required: bool = False


class Record(Struct, frozen=True):
    """A mapping with known keys: once read, those that were given and could be read.

    Of the keys of `one_of` at least one must be there; a key of `goes_with` only where the other one is.
    `later` are keys that this version does not know yet. `naming` are the keys whose loss makes names unknown.
    `extra` adds to the schema what keys alone can't say.
    """

    keys: Mapping[str, Key]
    about: str = ""
    one_of: tuple[str, ...] = ()
    goes_with: Mapping[str, str] = {}
    later: tuple[str, ...] = ()
    naming: tuple[str, ...] = ()
    extra: Callable[[], dict[str, Json]] | None = None

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, dict):
            if self.naming:
                found.names_are_complete = False
            return found.problem(
                path, f"this is a mapping, not {said(value)}", f"its keys are {', '.join(self.keys)}"
            )
        for key in value:
            if key not in self.keys:
                self._note_unknown(key, path, found)
        for key, one in self.keys.items():
            if one.required and key not in value:
                found.problem(path, f"the key '{key}' is missing", one.shape.schema().get("description", ""))
        self._note_missing(value, path, found)
        read = {
            key: one.shape.read(value[key], (*path, key), found)
            for key, one in self.keys.items()
            if key in value
        }
        if any(read.get(key) is UNREADABLE for key in self.naming):
            found.names_are_complete = False
        return {key: item for key, item in read.items() if item is not UNREADABLE}

    def _note_missing(self, value: Mapping[str, Json], path: Path, found: Found) -> None:
        if self.one_of and not value.keys() & set(self.one_of):
            hint = f"give one of {', '.join(self.one_of[:-1])} and {self.one_of[-1]}"
            found.problem(path, f"the key '{self.one_of[0]}' is missing", hint)
        for key, other in self.goes_with.items():
            if key in value and other not in value:
                what = f"'{key}' goes with '{other}', which is not here"
                found.problem((*path, key), what, f"give {other} too, or leave out {key}")

    def _note_unknown(self, key: str, path: Path, found: Found) -> None:
        if key in self.later:
            found.problem((*path, key), f"'{key}' is {NOT_AVAILABLE}", "leave it out")
            return
        hint = nearest(key, self.keys)
        if any(f"'{name}'" in hint for name in self.naming):
            found.names_are_complete = False
        found.problem(
            (*path, key), f"there is no key '{key}' here", hint or f"there are {', '.join(self.keys)}"
        )

    def schema(self) -> dict[str, Json]:
        required = [key for key, one in self.keys.items() if one.required]
        needed = {key: [other] for key, other in self.goes_with.items()}
        return {
            "type": "object",
            "properties": {key: one.shape.schema() for key, one in self.keys.items()},
            **({"required": required} if required else {}),
            **({"anyOf": [{"required": [key]} for key in self.one_of]} if self.one_of else {}),
            **({"dependentRequired": needed} if needed else {}),
            "additionalProperties": False,
            **about_it(self.about),
            **(self.extra() if self.extra else {}),
        }

    def named_schema(self, name: Text) -> dict[str, Json]:
        """The schema of such a record in a list, where it says its name itself."""
        one = self.schema()
        return {
            **one,
            "properties": {"name": name.schema(), **one["properties"]},
            "required": ["name", *one.get("required", [])],
        }


class OfKind(Struct, frozen=True):
    """Records of several kinds: `kind` says which one it is, and the usual one says nothing.

    `other` is that of the kinds that others bring along.
    """

    usual: Record
    kinds: Mapping[str, Record]
    other: Record
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, dict) or "kind" not in value:
            return self.usual.read(value, path, found)
        kind = value["kind"]
        if not isinstance(kind, str):
            return found.problem((*path, "kind"), f"there is no kind {said(kind)}", self.about)
        if kind not in self.kinds and (what := self._doubt(kind, value)):
            return found.problem((*path, "kind"), *what)
        return self.kinds.get(kind, self.other).read(value, path, found)

    def _doubt(self, kind: str, value: Mapping[str, Json]) -> tuple[str, str] | None:
        """What speaks against its being another's: a name that is nearly one of these, or keys that none has."""
        meant = "" if ":" in kind else nearest(kind, self.kinds)
        if meant:
            return f"there is no kind '{kind}'", meant
        strange = [key for key in value if key not in self.other.keys]
        if strange:
            hint = f"one that is not built in takes {', '.join(self.other.keys)}"
            return f"there is no kind '{kind}' that takes {strange[0]}", hint
        return None

    def schema(self) -> dict[str, Json]:
        records = (self.usual, *self.kinds.values(), self.other)
        return {"oneOf": [one.schema() for one in records], **about_it(self.about)}

    def named_schema(self, name: Text) -> dict[str, Json]:
        """The schema of such a record in a list, where it says its name itself."""
        records = (self.usual, *self.kinds.values(), self.other)
        return {"oneOf": [one.named_schema(name) for one in records], **about_it(self.about)}


class Defined(Struct, frozen=True):
    """A shape that many others hold; the schema says it once, under this name."""

    name: str
    shape: Shape

    def read(self, value: Json, path: Path, found: Found) -> Any:
        return self.shape.read(value, path, found)

    def schema(self) -> dict[str, Json]:
        return {"$ref": f"#/$defs/{self.name}"}

    def definition(self) -> dict[str, Json]:
        """What the name stands for in the schema."""
        return self.shape.schema()


class BySort(Struct, frozen=True):
    """A mapping of one shape, a list of another, or else a single value of a third."""

    single: Shape
    mapping: Shape | None = None
    items: Shape | None = None
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if isinstance(value, dict) and self.mapping is not None:
            return self.mapping.read(value, path, found)
        if isinstance(value, list) and self.items is not None:
            return self.items.read(value, path, found)
        return self.single.read(value, path, found)

    def schema(self) -> dict[str, Json]:
        shapes = (self.single, self.mapping, self.items)
        return {"anyOf": [one.schema() for one in shapes if one is not None], **about_it(self.about)}


class Pair(Struct, frozen=True):
    """A list of exactly two: a word and what belongs to it; a tuple once read."""

    first: Shape
    second: Shape
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, list) or len(value) != 2:
            return found.problem(path, f"this is a list of two, not {said(value)}", self.about)
        first = self.first.read(value[0], (*path, 0), found)
        second = self.second.read(value[1], (*path, 1), found)
        return UNREADABLE if first is UNREADABLE or second is UNREADABLE else (first, second)

    def schema(self) -> dict[str, Json]:
        both = [self.first.schema(), self.second.schema()]
        return {"type": "array", "prefixItems": both, "minItems": 2, "maxItems": 2, **about_it(self.about)}
