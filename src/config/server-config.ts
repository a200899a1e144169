import { CdcError } from '../base/errors.ts'
import { LOG_LEVELS, type LogLevel } from '../base/log.ts'
import { decodeConfigFile } from './config-file.ts'
import { isIdentifier } from './identifier.ts'
import { bool, defaultsOf, duration, float, int, table, text, texts, type Decoded } from './key-table.ts'

const IGNORED = 'Accepted and ignored.'
const NEW_ARCHITECTURE = "it tunes TiCDC's new architecture and means nothing here"

/** Every key of a server's file (reference: interface, section 1.3). */
export const SERVER_CONFIG = table(
  {
    addr: text('127.0.0.1:8300', { allowed: 'host:port', doc: 'Where HTTP is served.' }),
    advertiseAddr: text('', { allowed: 'host:port', doc: 'Where others reach it; addr when empty.' }),
    clusterId: text('default', { doc: 'Which TiCDC cluster of this TiDB it belongs to.' }),
    keyspaceName: text('', {
      doc: 'Keyspace of TiDB whose tables are replicated; empty: a cluster without keyspaces.',
    }),
    logFile: text('', { doc: 'Path; stdout when empty.' }),
    logLevel: text('info', { allowed: 'debug|info|warn|error|fatal' }),
    log: table({
      errorOutput: text('stderr', { doc: IGNORED }),
      format: text('text', { allowed: 'text|json', doc: "text is TiDB's unified format." }),
      file: table({
        maxSize: int(300, { doc: 'MiB, then a new file is begun.' }),
        maxDays: int(0, { doc: 'How long old files are kept; 0: for ever.' }),
        maxBackups: int(0, { doc: 'How many old files are kept; 0: all.' }),
      }),
    }),
    dataDir: text('', { doc: "Empty: the cluster's, else /tmp/cdc_data." }),
    gcTtl: int(86_400, { doc: 'Seconds that the GC safe point is held without a running server.' }),
    tz: text('System', { allowed: 'IANA name', doc: 'Zone of TIMESTAMP columns.' }),
    captureSessionTtl: int(10, { allowed: '>= 5', doc: 'Seconds.' }),
    ownerFlushInterval: duration(50, { doc: IGNORED }),
    processorFlushInterval: duration(50, { doc: IGNORED }),
    gcTunerMemoryThreshold: int(0, { unsigned: true, doc: IGNORED }),
    perTableMemoryQuota: int(0, { unsigned: true, doc: IGNORED }),
    maxMemoryPercentage: int(0, { doc: IGNORED }),
    security: table({
      caPath: text('', {}),
      certPath: text('', {}),
      keyPath: text('', { doc: 'TLS is on when all three are given.' }),
      certAllowedCn: texts([], { doc: 'Names that client certificates may have.' }),
      mtls: bool(false, { doc: 'Clients need a certificate.' }),
      clientUserRequired: bool(false, { doc: 'Changes need a TiDB user; not built yet.' }),
      clientAllowedUser: texts([], {}),
    }),
    sorter: table({
      sortDir: text('', { doc: IGNORED }),
      cacheSizeInMb: int(128, { allowed: '>= 8' }),
      maxMemoryPercentage: int(0, { doc: IGNORED }),
      maxMemoryConsumption: int(0, { doc: IGNORED }),
      numWorkerpoolGoroutine: int(0, { doc: IGNORED }),
      numConcurrentWorker: int(0, { doc: IGNORED }),
      chunkSizeLimit: int(0, { doc: IGNORED }),
      diskQuota: int(0, {
        allowed: '>= 0 bytes',
        doc: 'What changes that memory has no room for may take below `{data-dir}/tmp/sorter`, of all changefeeds. 0 means four fifths of the free space. Not in TiCDC.',
      }),
    }),
    kvClient: table({
      enableMultiplexing: bool(true, { doc: IGNORED }),
      workerConcurrent: int(8, { doc: IGNORED }),
      grpcStreamConcurrent: int(1, { doc: IGNORED }),
      advanceIntervalInMs: int(300, { doc: IGNORED }),
      frontierConcurrent: int(8, { doc: IGNORED }),
      workerPoolSize: int(0, { doc: IGNORED }),
      regionScanLimit: int(40, { allowed: '> 0' }),
      regionRetryDuration: duration(60_000, { allowed: '> 0' }),
    }),
    debug: table({
      db: table({
        count: int(8, { doc: IGNORED }),
        maxOpenFiles: int(10_000, { doc: IGNORED }),
        blockSize: int(65_536, { doc: IGNORED }),
        writerBufferSize: int(8_388_608, { doc: IGNORED }),
        compression: text('snappy', { allowed: 'none|snappy' }),
        writeL0PauseTrigger: int(2_147_483_647, { doc: IGNORED }),
        compactionL0Trigger: int(16, { doc: IGNORED }),
      }),
      messages: table({
        clientMaxBatchInterval: duration(10, { allowed: '<= 10s' }),
        clientMaxBatchSize: int(67_108_864, {}),
        clientMaxBatchCount: int(1024, {}),
        clientRetryRateLimit: float(1, {}),
        serverMaxPendingMessageCount: int(102_400, {}),
        serverAckInterval: duration(100, { allowed: '<= 10s' }),
        serverWorkerPoolSize: int(8, { allowed: '<= 32' }),
        maxRecvMsgSize: int(268_435_456, {}),
        keepAliveTime: duration(30_000, {}),
        keepAliveTimeout: duration(10_000, {}),
      }),
      scheduler: table({
        heartbeatTick: int(2, { allowed: '> 0' }),
        collectStatsTick: int(200, { allowed: '> 0' }),
        maxTaskConcurrency: int(10, { allowed: '> 0' }),
        checkBalanceInterval: duration(60_000, { allowed: '> 1s' }),
        addTableBatchSize: int(50, { allowed: '> 0' }),
      }),
      cdcV2: table({
        enable: bool(false, { doc: IGNORED }),
        metaStore: table({ uri: text('', { doc: IGNORED, secret: 'uri' }) }),
      }),
      puller: table({
        enableResolvedTsStuckDetection: bool(false, { doc: IGNORED }),
        resolvedTsStuckInterval: duration(300_000, { doc: IGNORED }),
        logRegionDetails: bool(false, { doc: IGNORED }),
      }),
    }),
  },
  {
    retired: {
      newarch: 'there is one architecture',
      encryption: NEW_ARCHITECTURE,
      'memory-limit-percentage': NEW_ARCHITECTURE,
      'enable-legacy-safepoint': NEW_ARCHITECTURE,
    },
  },
)

export type ServerConfig = Decoded<typeof SERVER_CONFIG.fields>

export const defaultServerConfig: ServerConfig = Object.freeze(defaultsOf(SERVER_CONFIG.fields))

/** Reads a server's TOML file over the defaults; throws `ConfigFileError` with every fault. */
export function parseServerConfigToml(file: string, path: string): { config: ServerConfig; warnings: string[] } {
  const { value, warnings } = decodeConfigFile({
    text: file,
    path,
    component: 'TiCDC server',
    table: SERVER_CONFIG,
    base: defaultServerConfig,
    lenient: ['debug', 'newarch'],
  })
  return { config: value, warnings }
}

/** A configuration that a server can start with. */
export interface CheckedServer {
  /** With `advertiseAddr` and `captureSessionTtl` filled in. */
  readonly config: ServerConfig
  readonly logLevel: LogLevel
  /** Of `--pd`. */
  readonly pdEndpoints: readonly string[]
  /** undefined = without TLS. */
  readonly tls: { readonly caPath: string; readonly certPath: string; readonly keyPath: string } | undefined
  /** IANA name. */
  readonly timeZone: string
  readonly warnings: readonly string[]
}

/** Checks what flags and file ask for; throws one coded error that names every fault. */
export function checkServerConfig(given: ServerConfig, pd: string): CheckedServer {
  const problems: string[] = []
  const warnings: string[] = []
  const { security } = given
  if (!isIdentifier(given.clusterId))
    problems.push(
      `bad cluster-id ${JSON.stringify(given.clusterId)}, please match the pattern ^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$, the length should no more than 128, eg, "simple-cluster-id"`,
    )
  else if (RESERVED_IDS.includes(given.clusterId))
    problems.push(`bad cluster-id "${given.clusterId}", it is a reserved word`)
  checkAddresses(given, problems)
  if (given.gcTtl === 0) problems.push('empty GC TTL is not allowed')
  const level = LOG_LEVELS.find((known) => known === given.logLevel.toLowerCase())
  if (level === undefined) problems.push(`unknown log level ${JSON.stringify(given.logLevel)}`)
  if (given.log.format !== 'text' && given.log.format !== 'json')
    problems.push(`unknown log format ${JSON.stringify(given.log.format)}`)
  if (security.clientUserRequired) {
    if (security.clientAllowedUser.length === 0)
      problems.push('client-allowed-user should not be empty when client-user-required is true')
    problems.push('security.client-user-required is not built yet in this version')
  }
  checkTuning(given, problems)
  const tlsOn = security.caPath !== '' && security.certPath !== '' && security.keyPath !== ''
  const pdEndpoints = pd
    .split(',')
    .map((endpoint) => endpoint.trim())
    .filter((endpoint) => endpoint !== '')
  if (pdEndpoints.length === 0) problems.push('empty PD address')
  for (const endpoint of pdEndpoints) checkEndpoint(endpoint, tlsOn, problems)
  if (given.captureSessionTtl < 5) warnings.push('capture session ttl too small, set to default value 10s')
  throwOption(problems)
  if (given.sorter.cacheSizeInMb < 8) throw sorterError('cache-size-in-mb should be greater than 8(MB)')
  if (!['none', 'snappy'].includes(given.debug.db.compression))
    throw sorterError(`sorter.leveldb.compression must be "none" or "snappy"`)
  const config = {
    ...given,
    advertiseAddr: given.advertiseAddr === '' ? given.addr : given.advertiseAddr,
    captureSessionTtl: given.captureSessionTtl < 5 ? 10 : given.captureSessionTtl,
  }
  const { caPath, certPath, keyPath } = security
  return {
    config,
    logLevel: level ?? 'info',
    pdEndpoints,
    tls: tlsOn ? { caPath, certPath, keyPath } : undefined,
    timeZone: resolveTimeZone(given.tz),
    warnings,
  }
}

const RESERVED_IDS = ['owner', 'capture', 'task', 'changefeed', 'job', 'meta']

const sorterError = (text: string): CdcError =>
  new CdcError('CDC:ErrIllegalSorterParameter', `illegal parameter for sorter: ${text}`)

function throwOption(problems: readonly string[]): void {
  if (problems.length > 0)
    throw new CdcError('CDC:ErrInvalidServerOption', `invalid server option: ${problems.join('; ')}`)
}

function checkAddresses({ addr, advertiseAddr }: ServerConfig, problems: string[]): void {
  if (addr === '') problems.push('empty address')
  else if (splitHostPort(addr) === undefined) problems.push(`${addr} does not contain a port or is no host:port`)
  const advertised = advertiseAddr === '' ? addr : advertiseAddr
  const parts = splitHostPort(advertised)
  if (parts === undefined) {
    if (advertised !== '' && advertised !== addr) problems.push(`${advertised} does not contain a port`)
  } else if (['0.0.0.0', '::', ''].includes(parts.host))
    problems.push(`${advertised} must be specified and can not be a unspecified IP address, please set advertise-addr`)
}

/** Host and port of `host:port` or `[v6]:port`, undefined where the text is none. */
export function splitHostPort(address: string): { host: string; port: number } | undefined {
  const [, v6, host = v6 ?? '', port = ''] = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(address) ?? []
  if (port === '' || Number(port) > 65_535) return undefined
  return { host, port: Number(port) }
}

function checkEndpoint(endpoint: string, tlsOn: boolean, problems: string[]): void {
  const url = URL.parse(endpoint)
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.host === '')
    problems.push(`PD endpoint should be a valid http or https URL: ${endpoint}`)
  else if (tlsOn && url.protocol === 'http:') problems.push('PD endpoint scheme should be https')
  else if (!tlsOn && url.protocol === 'https:') problems.push('PD endpoint scheme is https, please provide certificate')
}

function checkTuning({ kvClient, debug }: ServerConfig, problems: string[]): void {
  if (kvClient.regionScanLimit <= 0) problems.push('region-scan-limit should be at least 1')
  if (kvClient.regionRetryDuration <= 0) problems.push('region-retry-duration should be positive')
  const { messages, scheduler } = debug
  if (messages.clientMaxBatchInterval > 10_000) problems.push('client-max-batch-interval should not exceed 10s')
  if (messages.serverAckInterval > 10_000) problems.push('server-ack-interval should not exceed 10s')
  if (messages.serverWorkerPoolSize > 32) problems.push('server-worker-pool-size is larger than 32')
  for (const [name, value, least] of [
    ['heartbeat-tick', scheduler.heartbeatTick, 0],
    ['collect-stats-tick', scheduler.collectStatsTick, 0],
    ['max-task-concurrency', scheduler.maxTaskConcurrency, 0],
    ['add-table-batch-size', scheduler.addTableBatchSize, 0],
    ['check-balance-interval', scheduler.checkBalanceInterval, 1000],
  ] as const)
    if (value <= least) problems.push(`${name} must be larger than ${least === 0 ? '0' : '1s'}`)
}

/** The IANA name that `--tz` means; `CDC:ErrLoadTimezone` where there is none. */
export function resolveTimeZone(tz: string): string {
  const system = ['', 'system', 'local'].includes(tz.toLowerCase())
  try {
    return new Intl.DateTimeFormat('en', system ? {} : { timeZone: tz }).resolvedOptions().timeZone
  } catch (cause) {
    throw new CdcError(
      'CDC:ErrLoadTimezone',
      `can not load timezone, Please specify the time zone through environment variable \`TZ\` or command line parameters \`--tz\`: unknown time zone ${tz}`,
      { cause },
    )
  }
}
