/**
 * A name as Avro allows it (reference: protocols-avro-simple-debezium, A.2): every character outside `[A-Za-z0-9_]`
 * becomes `_`, and a leading digit gets one in front.
 */
export const avroName = (name: string): string => name.replace(/[^A-Za-z0-9_]/gu, '_').replace(/^(?=[0-9])/, '_')

/** Of the changefeed's namespace and the schema; both sanitised. */
export const avroNamespace = (namespace: string, schema: string): string =>
  schema === '' ? avroName(namespace) : `${avroName(namespace)}.${avroName(schema)}`

/** Under which a topic's key or value schemas are registered: TopicNameStrategy. */
export const subjectOf = (topic: string, part: 'key' | 'value'): string => `${topic.replaceAll('.', '_')}-${part}`
