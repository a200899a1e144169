import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs'
import { openApi, type ApiOptions } from '../api/api.ts'
import { BUILD_INFO } from '../base/build-info.ts'
import { systemClock } from '../base/clock.ts'
import { CdcError, describeError } from '../base/errors.ts'
import { createLog, openLogFile, openLogStream, type LogControl, type LogSink } from '../base/unified-log.ts'
import {
  checkServerConfig,
  defaultServerConfig,
  parseServerConfigToml,
  splitHostPort,
  type CheckedServer,
  type ServerConfig,
} from '../config/server-config.ts'
import { startServer } from '../server/server.ts'
import { readText } from './changefeed-options.ts'
import type { CommandContext } from './command.ts'
import { UsageError, type FlagValues } from './flags.ts'

/** Runs until a signal (exit code 0) or a fatal error (1). */
export async function run(context: CommandContext): Promise<number> {
  const checked = checkedOptions(context)
  warnOfFlags(context)
  for (const warning of checked.warnings) context.warn(`[WARN] ${warning}`)
  using sink = openLogSink(checked)
  const log = createLog({
    level: checked.logLevel,
    format: checked.config.log.format === 'json' ? 'json' : 'text',
    sink,
    clock: systemClock,
  })
  logUnexpected(log)
  try {
    await serve(context, checked, log)
    log.info('cdc server exits normally')
    return 0
  } catch (error) {
    if (context.signal.aborted) return 0
    log.error('cdc server exits with error', { error })
    throw error
  }
}

/** Opens the port, starts the capture, and resolves when a signal has stopped both. */
async function serve(context: CommandContext, checked: CheckedServer, log: LogControl): Promise<void> {
  const { config, pdEndpoints } = checked
  const dataWorkers = context.flags.int('data-workers')
  const dataDir = prepareDataDir(config.dataDir)
  const tls = readTls(checked)
  const listen = splitHostPort(config.addr) ?? { host: '127.0.0.1', port: 0 }
  await using api = await openApi({ ...listen, log, ...(tls === undefined ? {} : { tls }) }).catch((cause: unknown) => {
    throw new CdcError('CDC:ErrServeHTTP', `serve http error: cannot listen on ${config.addr}`, { cause })
  })
  const address = config.advertiseAddr.replace(/:0$/, `:${api.port}`)
  log.info('Welcome to Change Data Capture (CDC)', {
    'release-version': BUILD_INFO.releaseVersion,
    'git-hash': BUILD_INFO.gitHash,
    'node-version': process.version,
    address,
    pd: pdEndpoints,
  })
  await using server = await startServer(
    {
      config,
      pdEndpoints,
      security: checked.tls ?? {},
      timeZone: checked.timeZone,
      address,
      dataDir,
      dataWorkers: dataWorkers > 0 ? dataWorkers : undefined,
      failPoints: context.env['TIDEWIRE_FAIL_POINTS'] ?? '',
      log,
      clock: systemClock,
    },
    context.signal,
  )
  api.serve(server.handle)
  await server.stopped
}

/** As {@link readOptions}; what is wrong with them is an error about the command line, with its usage. */
function checkedOptions(context: CommandContext): CheckedServer {
  try {
    return readOptions(context)
  } catch (cause) {
    throw new UsageError(describeError(cause), { cause })
  }
}

/** Defaults, then the file, then the flags that were given (reference: interface, section 1.1). */
function readOptions(context: CommandContext): CheckedServer {
  const { flags } = context
  const path = flags.text('config')
  let config = defaultServerConfig
  if (path !== '') {
    const read = parseServerConfigToml(readText(path), path)
    for (const warning of read.warnings) context.warn(`[WARN] ${warning}`)
    config = read.config
  }
  return checkServerConfig(withFlags(config, flags), flags.text('pd'))
}

function withFlags(config: ServerConfig, flags: FlagValues): ServerConfig {
  const text = (name: string, present: string): string => (flags.given(name) ? flags.text(name) : present)
  const { security } = config
  return {
    ...config,
    addr: text('addr', config.addr),
    advertiseAddr: text('advertise-addr', config.advertiseAddr),
    clusterId: text('cluster-id', config.clusterId),
    tz: text('tz', config.tz),
    gcTtl: flags.given('gc-ttl') ? flags.int('gc-ttl') : config.gcTtl,
    logFile: text('log-file', config.logFile),
    logLevel: text('log-level', config.logLevel),
    dataDir: text('data-dir', config.dataDir),
    security: {
      ...security,
      caPath: text('ca', security.caPath),
      certPath: text('cert', security.certPath),
      keyPath: text('key', security.keyPath),
      certAllowedCn: flags.given('cert-allowed-cn')
        ? flags
            .text('cert-allowed-cn')
            .split(',')
            .map((name) => name.trim())
        : security.certAllowedCn,
    },
  }
}

function warnOfFlags(context: CommandContext): void {
  const { flags } = context
  if (!flags.given('data-dir'))
    context.warn(
      '[WARN] TiCDC server data-dir is not set. Please use `cdc server --data-dir` to start the cdc server if possible.',
    )
  if (flags.given('sort-dir'))
    context.warn(
      '[WARN] --sort-dir is deprecated in server settings. sort-dir will be set to `{data-dir}/tmp/sorter`. The sort-dir here will be no-op',
    )
}

function openLogSink({ config }: CheckedServer): LogSink {
  if (config.logFile === '') return openLogStream(1)
  const { maxSize, maxDays, maxBackups } = config.log.file
  return openLogFile({ path: config.logFile, maxSizeMib: maxSize, maxDays, maxBackups }, systemClock)
}

/** What nobody caught is a bug: it is logged with its cause, and ends the process. */
function logUnexpected(log: LogControl): void {
  process.on('uncaughtException', (error) => {
    log.error('unexpected error, the server exits', { error, stack: error.stack })
    process.exit(1)
  })
}

function prepareDataDir(given: string): string {
  const dataDir = given === '' ? '/tmp/cdc_data' : given
  try {
    mkdirSync(dataDir, { recursive: true })
    accessSync(dataDir, constants.R_OK | constants.W_OK)
    return dataDir
  } catch (cause) {
    throw new CdcError('CDC:ErrCheckDirWritable', `check dir writable failed: ${dataDir}`, { cause })
  }
}

function readTls({ tls, config }: CheckedServer): ApiOptions['tls'] {
  if (tls === undefined) return undefined
  try {
    return {
      ca: readFileSync(tls.caPath, 'utf8'),
      cert: readFileSync(tls.certPath, 'utf8'),
      key: readFileSync(tls.keyPath, 'utf8'),
      clientCerts: config.security.mtls || config.security.certAllowedCn.length > 0,
    }
  } catch (cause) {
    throw new CdcError('CDC:ErrToTLSConfigFailed', 'invalidate TLS config: generate tls config failed', { cause })
  }
}
