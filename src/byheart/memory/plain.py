"""Verbs in plain words: what a command line asks for, read from the verb's own signature.

A parameter whose type a word can give is annotated with its help, `Annotated[int, "How many hits at most."]`. Where the
Python type is richer, `Plain` says what is typed instead and which function reads it. So a verb has no second function
for the command line.
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

REQUIRED: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Plain:
    """How a parameter is given in plain words.

    Parameters
    ----------
    help: what it is, in a sentence.
    kind: the plain type; None takes the annotation's own (of a union with `str`: `str`).
    name: what it is called there; None takes the parameter's name.
    default: what stands where nothing is given; `...` takes the parameter's default.
    read: makes the value from the plain one. Its further parameters that are annotated are asked for too, those named
        like one of the verb's get the same.
    vet: raises `BadInput` or `Unknown` for a value that cannot be used; called before a folder is made for the verb.
    flags: of the option, where they are not the name's.
    argument: whether it is given by place, though it has a default.
    """

    help: str
    kind: Any = None
    name: str | None = None
    default: Any = ...
    read: Callable[..., Any] | None = None
    vet: Callable[[Any], object] | None = None
    flags: tuple[str, ...] = ()
    argument: bool = False


class Word(NamedTuple):
    """One thing to ask for: its name, plain type, default (`REQUIRED` for none), and how it is given."""

    name: str
    kind: Any
    default: Any
    plain: Plain


def words(verb: Callable[..., Any]) -> list[Word]:
    """What is asked for to call a verb, in the order of its parameters, those of their readers after each.

    >>> IDS = Plain("Ids.", kind=str, name="what")
    >>> def show(memory, ids: Annotated[list, IDS], k: Annotated[int, "Most."] = 3): ...
    >>> [(w.name, w.kind.__name__, w.plain.help) for w in words(show)]
    [('what', 'str', 'Ids.'), ('k', 'int', 'Most.')]
    """
    out: dict[str, Word] = {}
    for word in _own(verb):
        out[word.name] = word
        if word.plain.read is not None:
            out |= {w.name: w for w in _own(word.plain.read) if w.name not in out}
    return list(out.values())


def values(verb: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The verb's parameters, read from what was given for `words`; `BadInput` or `Unknown` where that cannot be."""
    out: dict[str, Any] = {}
    for name, word in zip(_annotated(verb), _own(verb), strict=True):
        value, read = given[word.name], word.plain.read
        if read is not None and value is not None:
            more = list(inspect.signature(read).parameters)[1:]
            value = read(value, **{n: given[n] for n in more if n in given})
        out[name] = value
    return out


def vet(verb: Callable[..., Any], chosen: Mapping[str, Any]) -> None:
    """Raise `BadInput` or `Unknown` for a parameter of a verb that cannot be used, without a memory."""
    for name, word in zip(_annotated(verb), _own(verb), strict=True):
        if word.plain.vet is not None:
            word.plain.vet(chosen[name])


@cache
def _own(function: Callable[..., Any]) -> list[Word]:
    """What a function's own annotated parameters ask for."""
    out = []
    for name, (annotation, default) in _annotated(function).items():
        kind, plain = get_args(annotation)[:2]
        plain = Plain(plain) if isinstance(plain, str) else plain
        out.append(
            Word(
                plain.name or name,
                _kind(kind) if plain.kind is None else plain.kind,
                default if plain.default is ... else plain.default,
                plain,
            )
        )
    return out


@cache
def _annotated(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """(annotation, default) by name of the parameters that are annotated with their help."""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    pairs = {
        p.name: (_evaluated(p.annotation, names), p.default)
        for p in inspect.signature(function).parameters.values()
        if not isinstance(p.annotation, str) or p.annotation.startswith("Annotated[")
    }
    return {n: pair for n, pair in pairs.items() if get_origin(pair[0]) is Annotated}


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    """An annotation as an object; names that are imported for type checkers alone become `Any`."""
    if not isinstance(annotation, str):
        return annotation
    code = compile(annotation, "<annotation>", "eval")
    missing = dict.fromkeys(set(code.co_names) - names.keys() - vars(builtins).keys(), Any)
    return eval(code, {**names, **missing})


def _kind(annotation: Any) -> Any:
    """The type of what is typed for a parameter: of several the text, and None where it may be left out."""
    kinds = get_args(annotation)
    if str not in kinds:
        return annotation
    return str | None if NoneType in kinds else str
