import { callbackify } from 'node:util'

import type { handleUnaryCall } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'

/** A gRPC handler of a function that returns a promise. What it throws is an internal error to the client. */
export function unary<Request, Response>(
  handle: (request: Request) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  const run = callbackify(handle)
  return (call, callback) =>
    run(call.request, (error: Error | null, response: Response) => {
      if (error === null) callback(null, response)
      else callback({ code: status.INTERNAL, details: String(error) })
    })
}
