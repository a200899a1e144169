import { capture, changefeedSummary, serverStatus } from './answers.ts'
import { sendJson, type Routes } from './api.ts'
import { changefeedIdOf, parseBody, queryText, statesOf, stringMember, tsMember, type Query } from './requests.ts'

/**
 * The part of `/api/v1` that cluster tools call (reference: interface, sections 5.7 and 9): default namespace only, bare
 * arrays, 202 with an empty body for what changes something.
 */
export function serveV1({ http, handle, asOwner, signal }: Routes): void {
  http.get('/api/v1/status', (_request, reply) => sendJson(reply, serverStatus(handle().status()), 4))
  http.get('/api/v1/health', async (_request, reply) => {
    await handle().health(signal)
    return reply.code(200).send()
  })
  http.get('/api/v1/captures', async (_request, reply) =>
    sendJson(reply, (await handle().captures(signal)).map(capture), 4),
  )
  http.post('/api/v1/owner/resign', async (_request, reply) => {
    await handle().resignOwner(signal)
    return reply.code(202).send()
  })
  http.get('/api/v1/changefeeds', async (request, reply) => {
    const states = statesOf(queryText(request.query as Query, 'state')) // fastify's own parser makes no other values
    const changefeeds = await asOwner((server) => server.listChangefeeds({ namespace: 'default', states }, signal))
    return sendJson(
      reply,
      changefeeds.map((one) => ({ ...changefeedSummary(one), state: one.state })),
      4,
    )
  })
  http.post<{ Params: { id: string } }>('/api/v1/changefeeds/:id/pause', async (request, reply) => {
    await asOwner((server) => server.pauseChangefeed(changefeedIdOf('', request.params.id), signal))
    return reply.code(202).send()
  })
  http.post<{ Params: { id: string } }>('/api/v1/changefeeds/:id/resume', async (request, reply) => {
    await asOwner((server) => server.resumeChangefeed(changefeedIdOf('', request.params.id), {}, signal))
    return reply.code(202).send()
  })
  http.post<{ Params: { id: string } }>('/api/v1/changefeeds/:id/tables/rebalance_table', async (request, reply) => {
    await asOwner((server) => server.rebalanceTables(changefeedIdOf('', request.params.id), signal))
    return reply.code(202).send()
  })
  http.post<{ Params: { id: string } }>('/api/v1/changefeeds/:id/tables/move_table', async (request, reply) => {
    const id = changefeedIdOf('', request.params.id)
    const body = parseBody(request.body, { required: true })
    const captureId = stringMember(body, 'capture_id')
    const tableId = tsMember(body, 'table_id')
    await asOwner((server) => server.moveTable(id, captureId, tableId, signal))
    return reply.code(202).send()
  })
  http.delete<{ Params: { id: string } }>('/api/v1/changefeeds/:id', async (request, reply) => {
    const id = changefeedIdOf('', request.params.id)
    await asOwner((server) => server.getChangefeed(id, signal))
    await asOwner((server) => server.removeChangefeed(id, signal))
    return reply.code(202).send()
  })
}
