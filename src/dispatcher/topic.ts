import { CdcError } from '../base/errors.ts'

/** Longest name of a Kafka topic, in bytes. */
const MAX_TOPIC_BYTES = 249
const LITERAL = /^[A-Za-z0-9._-]+$/
const KAFKA = /^[A-Za-z0-9._-]*(\{schema\})?([A-Za-z0-9._-]*\{table\})?[A-Za-z0-9._-]*$/
/** Avro has one table per topic. */
const AVRO = /^[A-Za-z0-9._-]*\{schema\}[A-Za-z0-9._-]*\{table\}[A-Za-z0-9._-]*$/

/** Schema and table name → topic. */
export type TopicOf = (schema: string, table: string) => string

/** Where a rule sends its tables (reference: dispatch, section 2). Errors: `CDC:ErrKafkaTopicExprInvalid`. */
export function compileTopic(expression: string, defaultTopic: string, protocol: string, place = ''): TopicOf {
  if (expression === '') return () => defaultTopic
  if (LITERAL.test(expression)) return () => expression
  if (!(protocol === 'avro' ? AVRO : KAFKA).test(expression)) {
    const need =
      protocol === 'avro' ? 'avro needs {schema} and {table}, in this order' : 'use {schema} and {table}, in this order'
    throw new CdcError(
      'CDC:ErrKafkaTopicExprInvalid',
      `invalid topic expression: ${expression}; ${need}, with letters, digits, '.', '_' and '-' (${place})`,
    )
  }
  return (schema, table) =>
    topicName(expression.replaceAll('{schema}', () => sanitise(schema)).replaceAll('{table}', () => sanitise(table)))
}

/** One `_` for every code point that a topic cannot hold. */
const sanitise = (name: string): string => name.replace(/[^a-zA-Z0-9._-]/gu, '_')

function topicName(name: string): string {
  if (name === '.') return '_'
  if (name === '..') return '__'
  return name.slice(0, MAX_TOPIC_BYTES)
}
