import { randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { CdcError } from '../base/errors.ts'
import { checkReplicaConfig } from '../config/check-replica-config.ts'
import { parseApiReplicaConfig } from '../config/replica-config-json.ts'
import { defaultReplicaConfig } from '../config/replica-config-toml.ts'
import { restoreMaskedUri } from '../config/mask.ts'
import { changefeedKey, type ChangefeedId } from '../event/changefeed.ts'
import type { UpdateChangefeed } from '../server/handle.ts'
import { Ts } from '../tidb/ts.ts'
import { changefeedInfo, changefeedStatus, changefeedSummary, syncedStatus } from './answers.ts'
import { sendJson, type Routes } from './api.ts'
import {
  changefeedIdOf,
  namespaceOf,
  parseBody,
  queryText,
  statesOf,
  stringMember,
  tsMember,
  type Query,
} from './requests.ts'

/** `/api/v2/changefeeds` (reference: interface, sections 5.2 to 5.6) and the processors of changefeeds. */
export function serveChangefeeds(routes: Routes): void {
  const { http, handle, asOwner, signal } = routes

  http.get('/api/v2/changefeeds', async (request, reply) => {
    const query = queryOf(request)
    const namespace = namespaceOf(queryText(query, 'namespace') || queryText(query, 'keyspace'))
    const states = statesOf(queryText(query, 'state'))
    const changefeeds = await asOwner((server) => server.listChangefeeds({ namespace, states }, signal))
    return sendJson(reply, { total: changefeeds.length, items: changefeeds.map(changefeedSummary) })
  })
  http.post('/api/v2/changefeeds', async (request, reply) => {
    const body = parseBody(request.body, { required: true })
    const namespace = stringMember(body, 'namespace') || stringMember(body, 'keyspace')
    const id = changefeedIdOf(namespace, stringMember(body, 'changefeed_id') || randomUUID())
    const sinkUri = stringMember(body, 'sink_uri')
    const startTs = tsMember(body, 'start_ts')
    const targetTs = tsMember(body, 'target_ts')
    const checked = checkReplicaConfig(sinkUri, parseApiReplicaConfig(body['replica_config']))
    for (const warning of checked.warnings) routes.log.warn(warning, { changefeed: changefeedKey(id) })
    const detail = await asOwner((server) =>
      server.createChangefeed(
        {
          id,
          sinkUri,
          startTs: startTs === 0n ? undefined : startTs,
          targetTs: targetTs === 0n ? undefined : targetTs,
          config: checked.config,
          ignoreIneligibleTables: checked.config.ignoreIneligibleTable,
        },
        signal,
      ),
    )
    return sendJson(reply, changefeedInfo(detail))
  })
  http.get('/api/v2/changefeeds/:id', async (request, reply) =>
    sendJson(reply, changefeedInfo(await asOwner((server) => server.getChangefeed(idOf(request), signal)))),
  )
  http.get('/api/v2/changefeeds/:id/meta_info', async (request, reply) =>
    sendJson(reply, changefeedInfo(await asOwner((server) => server.getChangefeed(idOf(request), signal)), false)),
  )
  http.put('/api/v2/changefeeds/:id', async (request, reply) => {
    const id = idOf(request)
    const change = await updateOf(routes, id, parseBody(request.body, { required: true }))
    return sendJson(reply, changefeedInfo(await asOwner((server) => server.updateChangefeed(id, change, signal))))
  })
  http.delete('/api/v2/changefeeds/:id', async (request, reply) => {
    await asOwner((server) => server.removeChangefeed(idOf(request), signal))
    return sendJson(reply, {})
  })
  http.post('/api/v2/changefeeds/:id/pause', async (request, reply) => {
    await asOwner((server) => server.pauseChangefeed(idOf(request), signal))
    return sendJson(reply, {})
  })
  http.post('/api/v2/changefeeds/:id/resume', async (request, reply) => {
    const id = idOf(request)
    const overwrite = tsMember(parseBody(request.body, { required: true }), 'overwrite_checkpoint_ts')
    await asOwner((server) =>
      server.resumeChangefeed(id, { overwriteCheckpointTs: overwrite === 0n ? undefined : overwrite }, signal),
    )
    return sendJson(reply, {})
  })
  http.get('/api/v2/changefeeds/:id/status', async (request, reply) =>
    sendJson(reply, changefeedStatus(await asOwner((server) => server.getChangefeed(idOf(request), signal)))),
  )
  http.get('/api/v2/changefeeds/:id/synced', async (request, reply) => {
    const detail = await asOwner((server) => server.getChangefeed(idOf(request), signal))
    return sendJson(reply, syncedStatus(detail, await handle().tso(signal)))
  })

  http.get('/api/v2/processors', async (request, reply) => {
    const namespace = namespaceOf(queryText(queryOf(request), 'namespace'))
    const items: unknown[] = []
    for (const { id } of await asOwner((server) => server.listChangefeeds({ namespace }, signal))) {
      const detail = await asOwner((server) => server.getChangefeed(id, signal))
      for (const task of detail.tasks)
        items.push({ namespace: id.namespace, changefeed_id: id.id, capture_id: task.captureId })
    }
    return sendJson(reply, { total: items.length, items })
  })
  http.get('/api/v2/processors/:id/:capture', async (request, reply) => {
    const captureId = parameterOf(request, 'capture')
    const detail = await asOwner((server) => server.getChangefeed(idOf(request), signal))
    const task = detail.tasks.find((one) => one.captureId === captureId)
    if (task === undefined) throw new CdcError('CDC:ErrCaptureNotExist', `capture not exists, ${captureId}`)
    return sendJson(reply, { table_ids: task.tableIds.length === 0 ? null : task.tableIds })
  })
}

/** What a PUT changes: an empty or masked sink URI and masked secrets stay as they are. */
async function updateOf(
  { asOwner, signal, log }: Routes,
  id: ChangefeedId,
  body: Readonly<Record<string, unknown>>,
): Promise<UpdateChangefeed> {
  const current = await asOwner((server) => server.getChangefeed(id, signal))
  const targetTs = tsMember(body, 'target_ts')
  const given = stringMember(body, 'sink_uri')
  const restored = given === '' ? current.sinkUri : restoreMaskedUri(given, current.sinkUri)
  const sinkUri = restored === current.sinkUri ? undefined : restored
  const json = body['replica_config'] ?? undefined
  const config = json === undefined ? undefined : parseApiReplicaConfig(json, defaultReplicaConfig, current.config)
  const change = { targetTs: targetTs === 0n ? undefined : Ts(targetTs), sinkUri }
  if (sinkUri === undefined && config === undefined) return change
  const checked = checkReplicaConfig(sinkUri ?? current.sinkUri, config ?? current.config)
  for (const warning of checked.warnings) log.warn(warning, { changefeed: changefeedKey(id) })
  return { ...change, config: checked.config }
}

const queryOf = (request: FastifyRequest): Query => request.query as Query // fastify's own parser makes no other values

const parameterOf = (request: FastifyRequest, name: string): string =>
  (request.params as Readonly<Record<string, string>>)[name] ?? '' // of fastify's router

function idOf(request: FastifyRequest): ChangefeedId {
  const query = queryOf(request)
  return changefeedIdOf(queryText(query, 'namespace') || queryText(query, 'keyspace'), parameterOf(request, 'id'))
}
