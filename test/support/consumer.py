"""Prints the records of Kafka topics as lines of JSON, with librdkafka: a reader that shares no code with Tidewire.

usage: consumer.py --bootstrap HOST:PORT --topics a,b [--until-end]

Each line: {"topic", "partition", "offset", "timestamp", "key", "value"}, key and value in base64 or null. With
--until-end it exits once it has printed everything up to the high watermarks that it saw at the start; without, it
follows until SIGTERM, and a line {"eof": {"topic", "partition", "offset"}} says that a partition has been read to its
end so far. A topic that does not exist yet is waited for.
"""

import argparse
import base64
import json
import signal
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition


def text(data):
    return None if data is None else base64.b64encode(data).decode()


def partitions_of(consumer, topic, stopped):
    while not stopped:
        try:
            found = consumer.list_topics(topic, timeout=10).topics[topic]
            if found.error is None and found.partitions:
                return [TopicPartition(topic, p, OFFSET_BEGINNING) for p in sorted(found.partitions)]
        except KafkaException:
            pass
        time.sleep(0.1)
    return []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topics", required=True)
    parser.add_argument("--until-end", action="store_true")
    args = parser.parse_args()

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "group.id": "tidewire-test",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "check.crcs": True,
            "fetch.wait.max.ms": 50,
            "reconnect.backoff.max.ms": 500,
        }
    )
    parts = [p for topic in args.topics.split(",") for p in partitions_of(consumer, topic, stopped)]
    ends = {}
    if args.until_end:
        for part in parts:
            low, high = consumer.get_watermark_offsets(part, timeout=30)
            if high > low:
                ends[(part.topic, part.partition)] = high
    consumer.assign(parts)
    out = sys.stdout
    while not stopped and (ends or not args.until_end):
        for message in consumer.consume(num_messages=500, timeout=0.1):
            error = message.error()
            place = (message.topic(), message.partition())
            if error is None:
                record = {
                    "topic": place[0],
                    "partition": place[1],
                    "offset": message.offset(),
                    "timestamp": message.timestamp()[1],
                    "key": text(message.key()),
                    "value": text(message.value()),
                }
                out.write(json.dumps(record) + "\n")
                if ends.get(place, message.offset() + 2) <= message.offset() + 1:
                    del ends[place]
            elif error.code() == KafkaError._PARTITION_EOF:
                ends.pop(place, None)
                if not args.until_end:
                    eof = {"topic": place[0], "partition": place[1], "offset": message.offset()}
                    out.write(json.dumps({"eof": eof}) + "\n")
            elif not error.retriable() and error.fatal():
                raise KafkaException(error)
        out.flush()
    consumer.close()


main()
