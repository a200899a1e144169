/** Where the schemas of avro messages live; src/registry has the ones there are. */
export interface SchemaRegistry {
  /**
   * Resolves to the bytes that precede every record of this schema; registers the schema where the registry does not
   * have it yet. Goes on trying while the registry is out of reach. Errors: `CDC:ErrAvroSchemaAPIError` where it refuses.
   */
  register(subject: string, schema: string, signal: AbortSignal): Promise<Uint8Array>
  /** The text of a schema by its id. Errors: `CDC:ErrAvroSchemaAPIError`. */
  schema(id: SchemaId, signal: AbortSignal): Promise<string>
}

/** `number`: of a Confluent registry; `string`: a version's UUID in AWS Glue. */
export type SchemaId = number | string
