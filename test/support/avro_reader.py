"""Prints Avro records of Kafka topics as lines of JSON, with Confluent's client, fastavro and boto3: none of it ours.

usage: avro_reader.py --bootstrap HOST:PORT --topics a,b (--registry URL | --glue URL | --simple SCHEMA.json)

Each line: {"topic", "partition", "offset", "key", "value"}; key and value are null or objects whose values are null or
text: integers and decimals in digits, bytes as characters of their codes. It reads to the ends that it saw at the start.
"""

import argparse
import io
import json
import struct
import uuid

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def confluent(url):
    read = AvroDeserializer(SchemaRegistryClient({"url": url}))
    return lambda topic, data, field: read(data, SerializationContext(topic, field))


def glue(endpoint):
    import boto3

    client = boto3.client("glue", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    schemas = {}

    def read(_topic, data, _field):
        if data is None:
            return None
        version, compression = struct.unpack(">bb", data[:2])
        assert (version, compression) == (3, 0), (version, compression)
        found = str(uuid.UUID(bytes=data[2:18]))
        if found not in schemas:
            text = client.get_schema_version(SchemaVersionId=found)["SchemaDefinition"]
            schemas[found] = fastavro.parse_schema(json.loads(text))
        return fastavro.schemaless_reader(io.BytesIO(data[18:]), schemas[found])

    return read


def simple(path):
    with open(path) as file:
        vectors = json.load(file)["vectors"]
    schema = fastavro.parse_schema(next(v["value"] for v in vectors if v["id"] == "simple-avro-schema"))

    def read(_topic, data, _field):
        if data is None:
            return None
        message = fastavro.schemaless_reader(io.BytesIO(data), schema)
        payload = message["payload"]
        return {**payload, "kind": message["type"]}

    return read


def plain(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topics", required=True)
    parser.add_argument("--registry")
    parser.add_argument("--glue")
    parser.add_argument("--simple")
    args = parser.parse_args()
    read = confluent(args.registry) if args.registry else glue(args.glue) if args.glue else simple(args.simple)

    consumer = Consumer({"bootstrap.servers": args.bootstrap, "group.id": "tidewire-test", "enable.auto.commit": False})
    ends = {}
    parts = []
    for topic in args.topics.split(","):
        for partition in sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            if high > low:
                ends[(topic, partition)] = high
                parts.append(TopicPartition(topic, partition, OFFSET_BEGINNING))
    consumer.assign(parts)
    while ends:
        for message in consumer.consume(num_messages=500, timeout=0.1):
            if message.error() is not None:
                raise RuntimeError(message.error())
            place = (message.topic(), message.partition())
            record = {
                "topic": place[0],
                "partition": place[1],
                "offset": message.offset(),
                "key": plain(read(place[0], message.key(), MessageField.KEY)),
                "value": plain(read(place[0], message.value(), MessageField.VALUE)),
            }
            print(json.dumps(record))
            if ends.get(place, 0) <= message.offset() + 1:
                ends.pop(place, None)
    consumer.close()


main()
