"""Plain words read as what the verbs take: ids, pairs, a statement with its times, strategies with their settings."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Annotated, Any, get_type_hints

from byheart.core import catalogue
from byheart.core.errors import BadInput, Unknown
from byheart.memory.plain import Plain


def ids(what: str) -> list[str]:
    """Ids with commas between, as a list.

    >>> ids("a, b")
    ['a', 'b']
    """
    return [i.strip() for i in what.split(",") if i.strip()]


def state(name: str) -> str | None:
    """A state by its name; None for "any"."""
    return None if name == "any" else name


def right(name: str) -> str | None:
    """A right by its name; None for "none"."""
    return None if name == "none" else name


def updating(
    update: bool, updater: Annotated[str | None, "The updater, if not keep-me-updated."] = None
) -> bool | str | None:
    """The updater's name, True for the usual one, or None for that of the memory's system, if it has one."""
    return updater or update or None


def statement(
    text: str,
    write: str | None = None,
    *,
    key: Annotated[str | None, "What a statement is a fact about, such as Marta/home: the newest is current."] = None,
    at: Annotated[str | None, "When a text was said (ISO-8601)."] = None,
    valid_from: Annotated[str | None, "From when it is true (ISO-8601)."] = None,
    valid_to: Annotated[str | None, "Until when it is true (ISO-8601)."] = None,
    source: Annotated[str | None, "Where a text is from; a file is its own source."] = None,
) -> Any:
    """What `Memory.remember` takes for a text (`-`: standard input), or for a text and its fields.

    A file says the fields of itself, and a key is of a single statement: `BadInput` else.
    """
    from byheart.memory.sources import drafted
    from byheart.store.events import seconds

    text = sys.stdin.read() if text == "-" else text
    given = {"key": key, "at": at, "valid_from": valid_from, "valid_to": valid_to, "source": source}
    fields = {k: v for k, v in given.items() if v is not None}
    if not fields:
        return text
    flags = " and ".join(f"--{k.replace('_', '-')}" for k in fields)
    empty = [k for k, v in fields.items() if not v.strip()]
    if empty:
        raise BadInput(f"--{empty[0].replace('_', '-')} is {fields[empty[0]]!r}; give some words, or leave it out")
    if any(d.source for d in drafted(text)):
        raise BadInput(
            f"{flags} would be said of every line of the file {text!r}; give one statement as text, "
            'or write a .jsonl file with a line for each, such as {"text": "...", "key": "...", "at": "..."}'
        )
    statements = [{"text": text, **fields}]
    made = drafted(statements)
    if "key" in fields and (write is not None or len(made) > 1):
        what = f"the writer {write} may make several engrams" if write else f"this text makes {len(made)}"
        raise BadInput(
            f"--key {fields['key']!r} is what one statement is about, and {what}; give one short text and no --write, "
            "or lines of JSON with a key each: byheart store import"
        )
    start, end = seconds(made[0].valid_from), seconds(made[0].valid_to)
    if start is not None and end is not None and end <= start:
        raise BadInput(f"--valid-to {fields['valid_to']} is not after --valid-from {fields['valid_from']}; change one")
    return statements


def lessons(path: str) -> Any:
    """What `Memory.learn` takes for a path: the pairs of a file that holds pairs, else the path itself."""
    from byheart.memory.pairs import paired

    return paired(path)


def strategies(
    names: str,
    settings: Annotated[
        dict[str, str] | None,
        Plain("A setting of a strategy, such as strength=10 or ewc.strength=10.", flags=("--set",)),
    ] = None,
) -> Any:
    """What `Memory.learn` takes for these names: "default", or a list of names with their settings.

    >>> strategies("a-gem,der++", {})
    [{'name': 'a-gem', 'settings': {}}, {'name': 'der++', 'settings': {}}]
    >>> strategies("default", {"strength": "3"})
    Traceback (most recent call last):
    byheart.core.errors.BadInput: the default strategy takes no settings...
    """
    settings = settings or {}
    listed = [n.strip() for n in names.split(",") if n.strip()]
    if listed == ["default"] and not settings:
        return "default"
    if not listed or "default" in listed:
        raise BadInput("the default strategy takes no settings and no company; name strategies (byheart methods)")
    given: dict[str, dict[str, Any]] = {catalogue.entry(name).name: {} for name in listed}
    for key, text in settings.items():
        name, _, setting = key.rpartition(".")
        owners = [name] if name else [n for n in listed if key in schema(n)]
        if name and name not in given:
            raise Unknown.name("strategy in this run", name, listed, "byheart methods")
        if len(owners) > 1:
            raise BadInput(f"{key} is a setting of {' and '.join(owners)}; write {owners[0]}.{key}={text}")
        owner = owners[0] if owners else listed[0]
        given[owner][setting or key] = _value(owner, setting or key, text)
    return [{"name": name, "settings": values} for name, values in given.items()]


def vet_source(source: Any) -> None:
    """Raise `BadInput` for a source that cannot be read."""
    from byheart.memory.sources import drafted

    drafted(source)


def schema(name: str) -> dict[str, tuple[Any, Any]]:
    """A method's settings with their types and defaults, from its constructor: `{setting: (type, default)}`."""
    cls = catalogue.load(name)
    try:
        hints = get_type_hints(cls.__init__)
    except NameError:
        hints = {}
    own = catalogue.entry(name).defaults
    return {
        p.name: (hints.get(p.name, Any), own.get(p.name, p.default))
        for p in inspect.signature(cls).parameters.values()
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    }


def _value(name: str, key: str, text: str) -> Any:
    """A setting's text as the type that the constructor asks for."""
    from pydantic import TypeAdapter, ValidationError

    known = schema(name)
    if key not in known:
        raise Unknown.name(f"setting of {name}", key, known, f"byheart methods {name}")
    try:
        raw = json.loads(text)
    except json.JSONDecodeError:
        raw = text
    try:
        return TypeAdapter(known[key][0]).validate_python(raw)
    except ValidationError as error:
        raise BadInput(f"{name}.{key}={text}: {error.errors()[0]['msg']}; see byheart methods {name}") from None
