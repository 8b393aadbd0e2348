"""From a file, a text or a list of either to engrams of 60 to 120 words."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.recall.sentences import length
from byheart.recall.write.blocks import Block, blocks

SUFFIXES = frozenset(
    ".md .markdown .txt .text .rst .adoc .org .tex .log .csv .tsv .json .jsonl .ndjson .yaml .yml .toml .html".split()
)
_FIELDS = ("source", "speaker", "owner", "at", "valid_from", "valid_to", "question", "answer", "key")

Source = str | Path | Mapping[str, Any] | Sequence["str | Path | Mapping[str, Any]"]


class Chunks:
    """Passages short enough to cite and to read in a small context, long enough to stand alone.

    A passage never crosses a heading. Within a section, sentences, list items
    and table rows are packed until the next would pass `longest`, or a block ends and `enough` is
    reached; none of them is ever split. The headings above stand before the text, as "A > B", and
    in `metadata["heading"]`, so that a question in the heading's words finds the passage. A text of
    at most `longest` words without headings stays as it is.

    Parameters
    ----------
    enough: words after which the end of a paragraph ends the passage.
    longest: words a passage does not exceed, but for a sentence that is longer by itself.

    >>> [e.text for e in Chunks().write("# Travel\\n\\nMarta signs it off.\\n\\n# Pay\\n\\nPaid on Friday.")]
    ['Travel\\nMarta signs it off.', 'Pay\\nPaid on Friday.']
    """

    def __init__(self, *, enough: int = 60, longest: int = 120) -> None:
        if not 0 < enough <= longest:
            raise BadInput(f"enough={enough}, longest={longest}: need 0 < enough <= longest; the defaults are 60, 120")
        self.enough = enough
        self.longest = longest

    def write(self, source: Source) -> list[Engram]:
        """Engrams with fresh ids, in order, positions numbered within each source.

        A `Path` is a file. A string is a file when it exists, ends like a file (.md, .txt, ...) or has
        a path separator and no white space; else it is a text. In a list, a string is a file only
        when it ends like a file. A mapping has `text` (or `question` and `answer`) and may have
        `source`, `speaker`, `owner`, `key`, `at`, `valid_from`, `valid_to`; its other keys are metadata.
        Raises `BadInput` for what is missing, empty, binary, malformed or of another type.
        """
        stamp = datetime.now(UTC).isoformat()
        count: Counter[str | None] = Counter()
        made: list[Engram] = []
        for draft in self._drafts(source):
            position = count[draft.get("source")]
            count[draft.get("source")] += 1
            try:
                made.append(Engram(id=secrets.token_hex(8), created=stamp, position=position, **draft))
            except ValidationError as error:
                first = error.errors()[0]
                name, value = first["loc"][0], first["input"]
                raise BadInput(f"{name}={value!r} cannot be stored: {first['msg']}; mend it or leave it out") from error
        return made

    def _drafts(self, source: Any) -> Iterator[dict[str, Any]]:
        if isinstance(source, Path) or (isinstance(source, str) and _is_path(source)):
            yield from self._file(Path(source))
        elif isinstance(source, str):
            yield from self._text(source, {})
        elif isinstance(source, Mapping):
            yield from self._mapping(source, "the entry", {})
        elif isinstance(source, Sequence) and not isinstance(source, bytes | bytearray):
            if not source:
                raise BadInput("the list to remember is empty; give texts, or dicts with 'text'")
            for n, entry in enumerate(source):
                yield from self._entry(entry, f"entry {n}", {})
        else:
            raise BadInput(
                f"cannot remember a {type(source).__name__}; give a path, a text, or a list of texts or dicts"
            )

    def _entry(self, entry: Any, name: str, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if isinstance(entry, Path) or (isinstance(entry, str) and _ends_like_a_file(entry)):
            yield from self._file(Path(entry))
        elif isinstance(entry, str):
            if not entry.strip():
                raise BadInput(f"{name} is an empty text; leave it out")
            yield from self._text(entry, given)
        elif isinstance(entry, Mapping):
            yield from self._mapping(entry, name, given)
        else:
            raise BadInput(f"{name} is a {type(entry).__name__}; give a text, or a dict with 'text'")

    def _mapping(self, entry: Mapping[str, Any], name: str, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
        rest = dict(entry)
        fields = {**given, **{k: rest.pop(k) for k in _FIELDS if k in rest}}
        for key, value in fields.items():
            if value is not None and not isinstance(value, str):
                raise BadInput(f"{name} has {key}={value!r}, a {type(value).__name__}; give a string")
        for key in ("at", "valid_from", "valid_to"):
            _check_time(name, key, fields.get(key))
        text = rest.pop("text", None)
        if text is None and fields.get("question") and fields.get("answer"):
            text = f"{fields['question']} {fields['answer']}"
        if not isinstance(text, str) or not text.strip():
            raise BadInput(
                f"{name} has text={text!r}; give it a 'text' with some words (keys: {', '.join(map(str, entry))})"
            )
        more = rest.pop("metadata", None)
        if more is not None and not isinstance(more, Mapping):
            raise BadInput(f"{name} has metadata={more!r}; give a dict")
        fields["metadata"] = {**given.get("metadata", {}), **(more or {}), **{str(k): v for k, v in rest.items()}}
        yield from self._text(text, fields)

    def _file(self, path: Path) -> Iterator[dict[str, Any]]:
        text = _read(path)
        given, kind = {"source": path.as_posix()}, path.suffix.lower()
        if kind in (".jsonl", ".ndjson"):
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # strings may hold other separators
            for n, line in enumerate(lines, 1):
                if line.strip():
                    yield from self._json(_parse(line, f"{path}, line {n}"), f"{path}, line {n}", given)
        elif kind == ".json":
            parsed = _parse(text, str(path))
            for n, entry in enumerate(parsed if isinstance(parsed, list) else [parsed]):
                yield from self._json(entry, f"{path}, entry {n}", given)
        else:
            yield from self._text(text, given)

    def _json(self, entry: Any, name: str, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if isinstance(entry, str) and entry.strip():
            yield from self._text(entry, given)
        elif isinstance(entry, Mapping):
            yield from self._mapping(entry, name, given)
        else:
            raise BadInput(f"{name} is {str(entry)[:40]!r}; give a text, or an object with 'text'")

    def _text(self, text: str, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Cut a text into passages."""
        if not text.strip():
            raise BadInput("the text to remember is empty; give some words")
        if "\0" in text:
            raise BadInput(f"the text has a NUL character after {text[: text.index(chr(0))][-20:]!r}; remove it")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        parts = list(blocks(text))
        plain = all(not b.heading and b.kind != "bare" for b in parts)
        if not parts or (plain and length(text) <= self.longest):
            yield {**given, "text": text.strip()}
            return
        for heading, body in self._pack(parts):
            title = " > ".join(heading)
            metadata = {**given.get("metadata", {}), **({"heading": title} if title else {})}
            yield {**given, "text": f"{title}\n{body}" if title else body, "metadata": metadata}

    def _pack(self, parts: list[Block]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Heading path and text of each passage."""
        heading: tuple[str, ...] = ()
        body, size = "", 0
        for block in parts:
            if body and (block.heading != heading or (size >= self.enough and not body.endswith(":"))):
                yield heading, body
                body, size = "", 0
            heading, first = block.heading, True
            for unit in block.units or ("",):
                words = length(unit)
                if size and size + words > self.longest and not (first and body.endswith(":")):
                    yield heading, body
                    body, size, first = "", 0, True
                lead = f"{block.head}\n" if first and block.head else ""
                body += ("" if not body else "\n\n" if first else block.join) + lead + unit
                size += words
                first = False
        if body:
            yield heading, body


def _is_path(text: str) -> bool:
    """Whether a string given alone means a file."""
    if "\n" in text or "\0" in text or len(text) > 1000:
        return False
    try:
        if text.strip() and Path(text).exists():
            return True
    except OSError:
        return False
    separated = ("/" in text or "\\" in text) and not any(c.isspace() for c in text) and "://" not in text
    return separated or _ends_like_a_file(text)


def _ends_like_a_file(text: str) -> bool:
    return "\n" not in text and len(text.split()) <= 4 and Path(text).suffix.lower() in SUFFIXES


def _read(path: Path) -> str:
    """The text of a file; `BadInput` says why it cannot be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"no file {str(path)!r}; check the path, or give the text itself") from error
    except IsADirectoryError as error:
        raise BadInput(f"{str(path)!r} is a folder; give its files one by one") from error
    except OSError as error:
        raise BadInput(f"{str(path)!r} cannot be read ({error.strerror}); check its permissions") from error
    if not data.strip():
        raise BadInput(f"{str(path)!r} is empty; give a file with some text")
    if b"\0" in data:
        raise BadInput(
            f"{str(path)!r} is a binary file (a NUL byte at {data.index(0)}); convert it to plain text first"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{str(path)!r} is not UTF-8 text (byte {error.start}); convert it: iconv -t utf-8") from error


def _parse(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInput(f"{name} is not JSON ({error}); mend it, or rename the file to .txt") from error


def _check_time(name: str, key: str, value: str | None) -> None:
    try:
        if value is not None:
            datetime.fromisoformat(value)
    except ValueError as error:
        raise BadInput(
            f"{name} has {key}={value!r}, not a time; write it as 2026-11-20 or 2026-11-20T06:30:00Z"
        ) from error
