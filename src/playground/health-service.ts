import type { HealthServer } from '../proto/health.ts'
import { HealthCheckResponse_ServingStatus as Serving } from '../proto/health.ts'

/** grpc.health.v1: always serving. */
export function createHealthService(): HealthServer {
  const answer = { status: Serving.SERVING }
  return {
    check: (_call, callback) => callback(null, answer),
    watch: (call) => {
      call.write(answer)
      call.on('cancelled', () => call.end())
    },
  }
}
