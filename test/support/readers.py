"""Reads messages of Tidewire with code that shares nothing with it, and prints the row changes that they hold.

usage: readers.py messages INPUT      open-protocol and maxwell, written here from the documents of the formats
       readers.py csv FOLDER          files of a storage sink, with Python's csv module
       readers.py duckdb FOLDER       the same files, with DuckDB

INPUT has a line per message: format, table, key and value in base64 ("-" = none), tab between them. Each line of output:
{"format", "table", "kind", "row"[, "commitTs"]}; values are text or null.
"""

import base64
import csv
import glob
import json
import os
import re
import struct
import sys

NULL = "\\N"


def show(format, table, kind, row, **more):
    print(json.dumps({"format": format, "table": table, "kind": kind, "row": row, **more}))


def parts(data):
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">Q", data, at)
        yield data[at + 8 : at + 8 + size]
        at += 8 + size


SHORT = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}


def unquoted(text):
    """The bytes of a Go string literal without its outer quotes."""

    def piece(match):
        byte, short, long, letter, plain = match.groups()
        if byte:
            return bytes([int(byte, 16)])
        if letter:
            return bytes([SHORT[letter]])
        return (plain or chr(int(short or long, 16))).encode()

    token = re.compile(r'\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))|([^\\"]+)', re.S)
    return b"".join(map(piece, token.finditer(text)))


def open_text(column):
    value, code, flags = column["v"], column["t"], column["f"]
    if value is None:
        return None
    if 249 <= code <= 252:
        return base64.b64decode(value).decode()
    if code in (15, 254) and flags & 1:
        return unquoted(value).decode(errors="backslashreplace")
    return str(value)


def read_open(table, key, value):
    assert struct.unpack_from(">Q", key)[0] == 1, "version of the protocol"
    for head, body in zip(map(json.loads, parts(key[8:])), parts(value), strict=True):
        if head["t"] != 1:
            continue
        if "ccl" in head:
            with open("/" + head["ccl"].removeprefix("file://").lstrip("/"), "rb") as file:
                stored = json.load(file)
            read_open(table, base64.b64decode(stored["key"]), base64.b64decode(stored["value"]))
            continue
        document = json.loads(body)
        columns = document.get("u") or document["d"]
        row = {name: open_text(column) for name, column in columns.items()}
        show("open-protocol", table, "+" if "u" in document else "-", row, commitTs=str(head["ts"]))


def text(value):
    return value if value is None or isinstance(value, str) else json.dumps(value)


def read_maxwell(table, value):
    decoder, rest = json.JSONDecoder(), value.decode()
    while rest:
        document, end = decoder.raw_decode(rest)
        rest = rest[end:]
        kind = document["type"]
        if kind in ("insert", "update"):
            show("maxwell", table, "+", {name: text(cell) for name, cell in document["data"].items()})
        elif kind == "delete":
            show("maxwell", table, "-", {name: text(cell) for name, cell in document["old"].items()})


def messages(path):
    with open(path) as lines:
        for line in lines:
            format, table, key, value = line.rstrip("\n").split("\t")
            key = b"" if key == "-" else base64.b64decode(key)
            if format == "maxwell":
                read_maxwell(table, base64.b64decode(value))
            else:
                read_open(table, key, base64.b64decode(value))


def tables(folder):
    """Table → its data files in order, and the titles that their first lines have."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*/*/*/**/CDC*.csv"), recursive=True)):
        found.setdefault(os.path.relpath(path, folder).split(os.sep)[1], []).append(path)
    return found


def read_csv(folder):
    for table, paths in tables(folder).items():
        for path in paths:
            with open(path, newline="") as file:
                rows = csv.reader(file)
                titles = next(rows)
                assert titles[:4] == ["ticdc-meta$" + name for name in ("operation", "table", "schema", "commit-ts")]
                for row in rows:
                    values = [None if cell == NULL else cell for cell in row[4:]]
                    kind = "-" if row[0] == "D" else "+"
                    show("csv", table, kind, dict(zip(titles[4:], values, strict=True)), commitTs=row[3])


def read_duckdb(folder):
    import duckdb

    for table, paths in tables(folder).items():
        source = duckdb.read_csv(
            paths, header=True, all_varchar=True, na_values=NULL, quotechar='"', escapechar='"', delimiter=","
        )
        order = 'cast("ticdc-meta$commit-ts" as ubigint)'
        titles = source.columns
        for row in source.order(order).fetchall():
            kind = "-" if row[0] == "D" else "+"
            show("duckdb", table, kind, dict(zip(titles[4:], row[4:], strict=True)), commitTs=row[3])


if __name__ == "__main__":
    {"messages": messages, "csv": read_csv, "duckdb": read_duckdb}[sys.argv[1]](sys.argv[2])
