"""Question and answer pairs in the shapes that files of training data have: tables, instructions, chats."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from byheart.core.errors import BadInput

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
KNOWN = (
    "question/answer, q/a, prompt/completion, instruction(/input)/output, input/output, front/back as columns or keys, "
    '{"messages": [{"role": "user", "content": "..."}, ...]} or {"conversations": [{"from": "human", "value": "..."}, '
    "...]}"
)
_FLAT = (
    ("question", "answer"),
    ("q", "a"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("input", "output"),
    ("front", "back"),
)
_FURTHER = {"output": "input", "response": "context"}  # what an instruction is about, in Alpaca's and in Dolly's rows
_CHATS = ("messages", "conversations")
_USER, _ASSISTANT = ("user", "human"), ("assistant", "gpt", "model", "chatgpt")

Row = dict[str, Any]


def pairs_of(source: str | Path | Sequence[Any]) -> list[Row]:
    """The pairs of a file or of a list of rows, as `{"question": ..., "answer": ..., **rest}`.

    A file is JSON (a list, or an object with one list), lines of JSON, or a table (CSV, TSV) with a header. A row is of
    one of the shapes in `KNOWN`, its keys in capitals or not. Of a chat each assistant's turn right after a user's is a
    pair; system messages are no part of it. An Alpaca row's input follows its instruction on a new line. Texts stay as
    they stand in the row. Other keys are kept, empty cells of a table are not. `accept`, further right answers, becomes
    a list of strings; in a table they have | between them.

    Raises `BadInput` that names the file and the row, for a row of no shape and for an empty question or answer.

    >>> pairs_of([{"instruction": "Translate.", "input": "eel", "output": "Aal", "id": 7}])
    [{'question': 'Translate.\\neel', 'answer': 'Aal', 'id': 7}]
    >>> pairs_of([{"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ilo"}]}])
    [{'question': 'Who?', 'answer': 'Ilo'}]
    """
    if not isinstance(source, str | Path):
        return [pair for n, row in enumerate(source, 1) for pair in _pairs(row, f"pair {n}")]
    path = Path(source)
    rows = _rows(path)
    if rows is None:
        raise BadInput(f"{str(path)!r} has no columns of questions and answers; name them as one of: {KNOWN}")
    return [pair for where, row in rows for pair in _pairs(row, where)]


def paired(source: Any) -> Any:
    """The pairs of a file or list that holds pairs, each with the file as its source; else what was given.

    A table without columns of questions and answers, and JSON of texts, are documents. Raises `BadInput` as `pairs_of`.
    """
    if isinstance(source, list | tuple):
        whole = bool(source) and all(isinstance(row, dict) and _shape(row) is not None for row in source)
        return pairs_of(source) if whole else source
    if not isinstance(source, str | Path) or not _is_file(source):
        return source
    path = Path(source)
    rows = _rows(path)
    if rows is None or (any(_shape(row) is None for _, row in rows) and all(_is_text(row) for _, row in rows)):
        return source
    return [{"source": path.as_posix(), **pair} for where, row in rows for pair in _pairs(row, where)]


def is_pairs(source: Any) -> bool:
    """Whether this is a list of rows with questions and answers, in a shape that `pairs_of` reads.

    Beside a `text`, only the keys question and answer make a pair.
    """
    return (
        isinstance(source, list | tuple)
        and bool(source)
        and all(
            isinstance(row, dict)
            and ({"question", "answer"} <= row.keys() or ("text" not in row and _shape(row) is not None))
            for row in source
        )
    )


def _is_file(source: str | Path) -> bool:
    """Whether this names a file in a format that may hold pairs."""
    text = str(source)
    if "\n" in text or "\0" in text or len(text) > 1000 or Path(text).suffix.lower() not in SUFFIXES:
        return False
    try:
        return Path(text).is_file()
    except OSError:
        return False


def _is_text(row: Any) -> bool:
    """Whether a row of JSON is what a document may hold: a text, or an object with a text or a plain pair."""
    return isinstance(row, str) or (isinstance(row, dict) and ("text" in row or {"question", "answer"} <= row.keys()))


def _rows(path: Path) -> list[tuple[str, Any]] | None:
    """Each row of a file with the words that say where it stands; None for a table without questions and answers."""
    text, kind = _read(path), path.suffix.lower()
    if kind in (".csv", ".tsv"):
        rows = _table(path, text, "\t" if kind == ".tsv" else ",;\t")
        if rows is None:
            return None
    elif kind in (".jsonl", ".ndjson"):
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # a string may hold other line separators
        places = [(f"{str(path)!r}, line {n}", line) for n, line in enumerate(lines, 1) if line.strip()]
        rows = [(where, _parse(line, where)) for where, line in places]
    else:
        rows = [(f"{str(path)!r}: pair {n}", row) for n, row in enumerate(_list(_parse(text, repr(str(path)))), 1)]
    if not rows:
        raise BadInput(f"{str(path)!r} holds no list of pairs; write rows of one of these shapes: {KNOWN}")
    return rows


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"no file {str(path)!r}; give a file of pairs: {KNOWN}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{str(path)!r} cannot be read as text ({error}); save it as UTF-8") from None


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInput(f"{where} is not JSON ({error}); mend it, or name a file of one object a line .jsonl") from None


def _list(value: Any) -> list[Any]:
    """The rows of a JSON value: a list, the only list of an object, or an object that is a row itself."""
    if isinstance(value, dict):
        if _shape(value) is not None or "text" in value:
            return [value]
        lists = [v for v in value.values() if isinstance(v, list)]
        value = lists[0] if len(lists) == 1 else None
    return value if isinstance(value, list) else []


def _table(path: Path, text: str, delimiters: str) -> list[tuple[str, Any]] | None:
    """The rows of a table by its header; None where no delimiter gives a header with questions and answers."""
    first = next((line for line in text.replace("\r", "\n").split("\n") if line.strip()), "")
    fitting = (d for d in delimiters if _shape(dict.fromkeys(_cells(first, d))) is not None)
    delimiter = next(fitting, None)
    if delimiter is None:
        return None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[str, Any]] = []
    header: list[str] = []
    try:
        for cells in reader:
            where = f"{str(path)!r}, line {reader.line_num}"
            if not any(c.strip() for c in cells):
                continue
            if not header:
                header = [c.strip() for c in cells]
                continue
            if any(c.strip() for c in cells[len(header) :]):
                raise BadInput(
                    f"{where} has {len(cells)} cells under {len(header)} columns; "
                    f'write a cell with {delimiter!r} in it between " and "'
                )
            row = dict(zip(header, [*cells, *[""] * len(header)], strict=False))
            wanted = _shape(row) or ()
            rows.append((where, {k: v for k, v in row.items() if k and (v.strip() or k.lower() in wanted)}))
    except csv.Error as error:
        raise BadInput(
            f'{str(path)!r}, line {reader.line_num}: {error}; write a cell with " in it between " and ", and each " in '
            "it twice"
        ) from None
    return rows


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [c.strip() for c in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _shape(row: Any) -> tuple[str, str] | str | None:
    """The names of the question's and the answer's key in lower case, or of a chat's; None for a row of no shape."""
    if not isinstance(row, dict):
        return None
    keys = {k.lower(): k for k in row if isinstance(k, str)}
    for names in _FLAT:
        if all(n in keys for n in names):
            return names
    for name in _CHATS:
        turns = row[keys[name]] if name in keys else None
        if isinstance(turns, list) and turns and all(_speaker(t) is not None for t in turns):
            return name
    return None


def _pairs(row: Any, where: str) -> Iterator[Row]:
    """The pairs of one row."""
    shape = _shape(row)
    if shape is None:
        raise BadInput(
            f"{where} is {json.dumps(row, ensure_ascii=False, default=str)[:80]}; write it as one of: {KNOWN}"
        )
    keys = {k.lower(): k for k in row if isinstance(k, str)}
    if isinstance(shape, str):
        rest, turns, start = _without(row, (keys[shape],), where), row[keys[shape]], 0
    else:
        question, answer = (keys[name] for name in shape)
        further = keys.get(_FURTHER.get(shape[1], "")) if shape[0] == "instruction" else None
        rest = _without(row, (question, answer, *([further] if further else [])), where)
        if not (_is_chat(row[question]) and _is_chat(row[answer])):
            asked = row[question]
            if further and isinstance(asked, str) and isinstance(row[further], str):
                asked = "\n".join(text for text in (asked, row[further]) if text.strip())
            yield _pair(asked, row[answer], rest, where)
            return
        turns, start = [*row[question], *row[answer]], len(row[question])
    made = [_pair(q, a, rest, where) for q, a in _turns(turns, start, where)]
    if not made:
        raise BadInput(f"{where} has no assistant's turn right after a user's; give it one, or leave it out")
    yield from made


def _pair(question: Any, answer: Any, rest: Row, where: str) -> Row:
    for name, value in (("question", question), ("answer", answer)):
        if not isinstance(value, str) or not value.strip():
            raise BadInput(f"{where}: the {name} is {value!r}; give a text that is not empty")
    return {"question": question, "answer": answer, **rest}


def _without(row: Row, keys: Sequence[str], where: str) -> Row:
    """The other keys of a row; `accept` as a list of strings."""
    rest = {k: v for k, v in row.items() if k not in keys}
    if (accept := rest.pop("accept", None)) is not None:
        accept = [a.strip() for a in accept.split("|") if a.strip()] if isinstance(accept, str) else accept
        if not isinstance(accept, list | tuple) or not all(isinstance(a, str) and a.strip() for a in accept):
            raise BadInput(f"{where} has accept={accept!r}; give a list of further right answers, each a text")
        rest["accept"] = list(accept)
    return rest


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_speaker(turn) is not None for turn in value)


def _speaker(turn: Any) -> str | None:
    """Who speaks in a turn, in lower case; None for what is no turn of a chat."""
    role = turn.get("role", turn.get("from")) if isinstance(turn, Mapping) else None
    return role.lower() if isinstance(role, str) else None


def _turns(turns: Sequence[Any], start: int, where: str) -> Iterator[tuple[str, str]]:
    """Questions and answers of a chat, of answers at `start` or later; a tool call and a turn of weight 0 are none."""
    before: tuple[str | None, Any] = (None, None)
    for n, turn in enumerate(turns):
        role, content = _speaker(turn), turn.get("content", turn.get("value"))
        if role == "system":
            continue
        if n >= start and role in _ASSISTANT and before[0] in _USER and content is not None and turn.get("weight") != 0:
            yield _text(before[1], f"{where}, turn {n}"), _text(content, f"{where}, turn {n + 1}")
        before = (role, content)


def _text(content: Any, where: str) -> str:
    """What a turn says; parts of text are joined by line ends."""
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else part
        if not isinstance(text, str):
            shown = json.dumps(part, ensure_ascii=False, default=str)[:60]
            raise BadInput(f"{where} holds {shown}, which is no text; give its words, or leave the row out")
        texts.append(text)
    return "\n".join(texts)
