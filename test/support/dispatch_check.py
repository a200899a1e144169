"""Says whether changes stand in the topics, partitions and columns where TiCDC would have put them.

An implementation of its own of TiCDC's partition algorithm, which shares no code with Tidewire. Reads one JSON object from
stdin: {"tables": {table: {"key": [column]}}, "baseline": topic, "sets": [{name, partitions, tables: {table: {topic,
hash?, sent?, ts?, drop?, target?}}}], "records": [{topic, partition, value}]}; records are canal-json with TiDB's extension,
values in base64.

- baseline: topic that holds every change of every table; the other sets are held against it.
- hash: columns that are hashed, absent = schema and table alone; "ts": true = commit-ts modulo partitions.
- target: name downstream, absent = the upstream's. sent: columns that are sent, absent = all. drop: {type: Python expression over the row `r`}, true = left out.

Each set has topics of its own. Prints one line of JSON: {"checked": n, "faults": [text]}.
"""

import base64
import binascii
import collections
import json
import sys


def partition_of(schema, table, row, columns, count):
    crc = binascii.crc32((schema + table).encode())
    for column in columns:
        value = row[column]
        crc ^= binascii.crc32((column + ("null" if value is None else value)).encode())
    return crc % count


def changes_of(records):
    """(topic, partition, document) of rows, without what says when a message was built."""
    found = []
    for record in records:
        document = json.loads(base64.b64decode(record["value"]))
        if document["isDdl"] or document["type"] == "TIDB_WATERMARK":
            continue
        found.append((record["topic"], record["partition"], document))
    return found


def identity(topic, partition, document, sent, name=None):
    def shown(rows):
        return None if rows is None else [{c: v for c, v in row.items() if sent is None or c in sent} for row in rows]

    parts = [
        topic,
        partition,
        name or document["database"] + "." + document["table"],
        document["type"],
        document["_tidb"]["commitTs"],
        shown(document["data"]),
        shown(document["old"]),
    ]
    return json.dumps(parts, sort_keys=True)


def expected_of(one, baseline):
    found = collections.Counter()
    for document in baseline:
        rule = one["tables"].get(document["database"] + "." + document["table"])
        if rule is None:
            continue
        row = document["data"][0]
        drop = rule.get("drop", {}).get(document["type"])
        if drop is not None and eval(drop, {"r": row, "old": (document["old"] or [None])[0], "int": int, "float": float}):
            continue
        if rule.get("ts"):
            partition = document["_tidb"]["commitTs"] % one["partitions"]
        else:
            columns = rule.get("hash", [])
            partition = partition_of(document["database"], document["table"], row, columns, one["partitions"])
        found[identity(rule["topic"], partition, document, rule.get("sent"), rule.get("target"))] += 1
    return found


def main():
    given = json.load(sys.stdin)
    changes = changes_of(given["records"])
    baseline = [document for topic, _, document in changes if topic == given["baseline"]]
    faults = []
    checked = 0
    for one in given["sets"]:
        topics = {rule["topic"] for rule in one["tables"].values()} | {one["topic"]}
        actual = collections.Counter(
            identity(topic, partition, document, None) for topic, partition, document in changes if topic in topics
        )
        wanted = expected_of(one, baseline)
        checked += sum(wanted.values())
        if sum(wanted.values()) == 0:
            faults.append(f"{one['name']}: nothing is expected, the set proves nothing")
        for what, more in (("missing", wanted - actual), ("unexpected", actual - wanted)):
            if more:
                faults.append(f"{one['name']}: {sum(more.values())} {what}, such as {next(iter(more))}")
    print(json.dumps({"checked": checked, "faults": faults}))


main()
