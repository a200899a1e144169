import { LOG_LEVELS } from '../base/log.ts'
import { chooseTables, parseTableName } from '../check/asked-tables.ts'
import { type AskedTable, explain } from '../check/explain.ts'
import { explanationJson } from '../check/explanation-json.ts'
import { explanationText } from '../check/explanation-text.ts'
import { parseApiReplicaConfig } from '../config/replica-config-json.ts'
import { physicalMs } from '../tidb/ts.ts'
import { capture, serverStatus, verifiedTables } from './answers.ts'
import { sendJson, type Routes } from './api.ts'
import { invalidParameter, parseBody, stringMember, textsMember, tsMember } from './requests.ts'

/** Error: `CDC:ErrAPIInvalidParam`. */
function tableName(text: string): AskedTable {
  try {
    return parseTableName(text)
  } catch (error) {
    throw invalidParameter(`invalid api parameter: ${error instanceof Error ? error.message : 'tables'}`)
  }
}

/** End points about servers and the upstream. */
export function serveCluster({ http, handle, signal }: Routes): void {
  http.get('/status', (_request, reply) => {
    const { version, gitHash, id, pid, isOwner } = handle().status()
    return sendJson(reply, { version, git_hash: gitHash, id, pid, is_owner: isOwner }, 1)
  })
  http.get('/api/v2/status', (_request, reply) => sendJson(reply, serverStatus(handle().status()), 4))
  http.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await handle().metricsText(signal)),
  )
  http.get('/api/v2/health', async (_request, reply) => {
    await handle().health(signal)
    return sendJson(reply, {})
  })
  http.get('/api/v2/captures', async (_request, reply) => {
    const captures = await handle().captures(signal)
    return sendJson(reply, { total: captures.length, items: captures.map(capture) })
  })
  http.post('/api/v2/owner/resign', async (_request, reply) => {
    await handle().resignOwner(signal)
    return sendJson(reply, {})
  })
  http.post('/api/v2/tso', async (request, reply) => {
    parseBody(request.body, { required: true })
    const ts = await handle().tso(signal)
    return sendJson(reply, { timestamp: physicalMs(ts), logic_time: ts & 0x3ffffn }, 4)
  })
  http.post('/api/v2/log', (request, reply) => {
    setLogLevel(parseBody(request.body, { required: false })['log_level'])
    return sendJson(reply, {})
  })
  http.post('/admin/log', (request, reply) => {
    setLogLevel(typeof request.body === 'string' ? request.body.trim().replace(/^"|"$/g, '') : '')
    return sendJson(reply, {})
  })
  http.post('/api/v2/verify_table', async (request, reply) => {
    const body = parseBody(request.body, { required: true })
    const sinkUri = stringMember(body, 'sink_uri')
    const config = parseApiReplicaConfig(body['replica_config'])
    const startTs = tsMember(body, 'start_ts')
    const tables = await handle().verifyTables({ config, sinkUri, startTs }, signal)
    return sendJson(reply, verifiedTables(tables))
  })
  // Of our own: what a configuration would do with the tables that exist.
  http.post('/api/v2/explain', async (request, reply) => {
    const body = parseBody(request.body, { required: true })
    const config = parseApiReplicaConfig(body['replica_config'])
    const wanted = textsMember(body, 'tables').map(tableName)
    const tables = chooseTables(await handle().tables(signal), wanted)
    const explanation = explain(config, stringMember(body, 'sink_uri'), tables, { cluster: wanted.length === 0 })
    const refused = explanation.tables.some(({ errors }) => errors.length > 0)
    return sendJson(reply, {
      explanation: explanationJson(explanation),
      text: explanationText(explanation),
      refused,
    })
  })
  http.get('/api/v2/unsafe/metadata', async (_request, reply) => sendJson(reply, await handle().metadata(signal), 4))
  http.delete('/api/v2/unsafe/service_gc_safepoint', async (_request, reply) => {
    await handle().deleteServiceSafePoint(signal)
    return sendJson(reply, {})
  })

  function setLogLevel(given: unknown): void {
    const text = given === undefined || given === '' ? 'info' : given === 'dpanic' ? 'panic' : given
    const level = LOG_LEVELS.find((known) => known === text)
    if (level === undefined) throw invalidParameter(`fail to change log level: ${JSON.stringify(given)}`)
    handle().setLogLevel(level)
  }
}
