import type { Command } from './command.ts'
import type { Flag } from './flags.ts'

// The tree of commands with every flag (reference: interface, sections 1.2 and 2). Help and parsing come from it.

const changefeedId: Flag = {
  name: 'changefeed-id',
  short: 'c',
  kind: 'string',
  usage: 'Replication task (changefeed) ID',
  required: true,
}
const namespace: Flag = {
  name: 'namespace',
  short: 'n',
  kind: 'string',
  fallback: 'default',
  usage: 'Replication task (changefeed) Namespace',
}
const noConfirm: Flag = { name: 'no-confirm', kind: 'bool', usage: "Don't ask user whether to confirm" }
/** Of TiCDC's experiments with several upstreams: accepted, without effect. */
const upstream: readonly Flag[] = ['pd', 'ca', 'cert', 'key'].map((name) => ({
  name: `upstream-${name}`,
  kind: 'string',
  usage: `upstream ${name}`,
  hidden: true,
}))

/** Of create and update. */
const changefeedOptions: readonly Flag[] = [
  noConfirm,
  namespace,
  { name: 'target-ts', kind: 'uint64', usage: 'Target ts of changefeed' },
  { name: 'sink-uri', kind: 'string', usage: 'sink uri' },
  { name: 'config', kind: 'string', usage: 'Path of the configuration file' },
  { name: 'schema-registry', kind: 'string', usage: 'Avro Schema Registry URI' },
  { name: 'sort-engine', kind: 'string', fallback: 'unified', usage: 'sort engine used for data sort', hidden: true },
  { name: 'sort-dir', kind: 'string', usage: 'directory used for data sort', hidden: true },
  ...upstream,
]

const changefeed: Command = {
  name: 'changefeed',
  short: 'Manage changefeed (changefeed is a replication task)',
  commands: [
    {
      name: 'create',
      short: 'Create a new replication task (changefeed)',
      flags: [
        { ...changefeedId, required: false },
        ...changefeedOptions,
        { name: 'start-ts', kind: 'uint64', usage: 'Start ts of changefeed' },
        { name: 'disable-gc-check', kind: 'bool', usage: 'Disable GC safe point check' },
        { name: 'tz', kind: 'string', fallback: 'SYSTEM', usage: 'timezone used when checking sink uri', hidden: true },
      ],
      load: () => import('./changefeed-create.ts'),
    },
    {
      name: 'update',
      short: 'Update config of an existing replication task (changefeed)',
      flags: [
        changefeedId,
        ...changefeedOptions,
        {
          name: 'replace-config',
          kind: 'bool',
          usage: 'Read --config over the defaults, not over the present configuration',
        },
      ],
      load: () => import('./changefeed-update.ts'),
    },
    {
      name: 'explain',
      short: 'Say what a configuration does with each table, without creating a changefeed',
      flags: [
        { name: 'sink-uri', kind: 'string', usage: 'sink uri' },
        { name: 'config', kind: 'string', usage: 'Path of the configuration file' },
        { name: 'schema-registry', kind: 'string', usage: 'Avro Schema Registry URI' },
        { name: 'table', kind: 'string', usage: 'Tables to explain, as db.table,db.table (default: all)' },
        { name: 'json', kind: 'bool', usage: 'Output as JSON' },
      ],
      load: () => import('./changefeed-explain.ts'),
    },
    {
      name: 'query',
      short: 'Query information and status of a replication task (changefeed)',
      flags: [
        changefeedId,
        namespace,
        { name: 'simple', short: 's', kind: 'bool', usage: 'Output simplified replication status' },
      ],
      load: () => import('./changefeed-query.ts'),
    },
    {
      name: 'list',
      short: 'List all replication tasks (changefeeds) in TiCDC cluster',
      flags: [
        namespace,
        { name: 'all', short: 'a', kind: 'bool', usage: 'List all replication tasks(including removed and finished)' },
      ],
      load: () => import('./changefeed-list.ts'),
    },
    {
      name: 'pause',
      short: 'Pause a replication task (changefeed)',
      flags: [changefeedId, namespace],
      load: () => import('./changefeed-pause.ts'),
    },
    {
      name: 'resume',
      short: 'Resume a paused replication task (changefeed)',
      flags: [
        changefeedId,
        namespace,
        noConfirm,
        {
          name: 'overwrite-checkpoint-ts',
          kind: 'string',
          usage: "Overwrite the changefeed checkpoint ts, should be 'now' or a specified tso value",
        },
        ...upstream,
      ],
      load: () => import('./changefeed-resume.ts'),
    },
    {
      name: 'remove',
      short: 'Remove a replication task (changefeed)',
      flags: [changefeedId, namespace],
      load: () => import('./changefeed-remove.ts'),
    },
    {
      name: 'statistics',
      short: 'Periodically check and output the status of a replication task (changefeed)',
      flags: [
        changefeedId,
        namespace,
        {
          name: 'interval',
          short: 'I',
          kind: 'int',
          fallback: '10',
          usage: 'Interval for outputing the latest statistics',
        },
      ],
      load: () => import('./changefeed-statistics.ts'),
    },
  ],
}

const cli: Command = {
  name: 'cli',
  short: 'Manage replication task and TiCDC cluster',
  groupFlags: [
    { name: 'server', kind: 'string', usage: 'TiCDC server address' },
    {
      name: 'pd',
      kind: 'string',
      usage:
        "PD address, use ',' to separate multiple PDs, Parameter --pd is deprecated, please use parameter --server instead.",
    },
    { name: 'ca', kind: 'string', usage: 'CA certificate path for TLS connection' },
    { name: 'cert', kind: 'string', usage: 'Certificate path for TLS connection' },
    { name: 'key', kind: 'string', usage: 'Private key path for TLS connection' },
    { name: 'log-level', kind: 'string', fallback: 'warn', usage: 'log level (etc: debug|info|warn|error)' },
    {
      name: 'user',
      kind: 'string',
      usage: 'User name for authentication. You can specify it via environment variable TICDC_USER',
    },
    {
      name: 'password',
      kind: 'string',
      usage: 'Password for authentication. You can specify it via environment variable TICDC_PASSWORD',
    },
  ],
  commands: [
    changefeed,
    {
      name: 'capture',
      short: 'Manage capture (capture is a CDC server instance)',
      commands: [
        { name: 'list', short: 'List all captures in TiCDC cluster', load: () => import('./capture-list.ts') },
      ],
    },
    {
      name: 'processor',
      short: 'Manage processor (processor is a sub replication task running on a specified capture)',
      commands: [
        { name: 'list', short: 'List all processors in TiCDC cluster', load: () => import('./processor-list.ts') },
        {
          name: 'query',
          short: 'Query information and status of a sub replication task (processor)',
          flags: [
            changefeedId,
            namespace,
            { name: 'capture-id', short: 'p', kind: 'string', usage: 'capture ID', required: true },
          ],
          load: () => import('./processor-query.ts'),
        },
      ],
    },
    {
      name: 'tso',
      short: 'Manage tso',
      commands: [{ name: 'query', short: 'Get tso from PD', load: () => import('./tso-query.ts') }],
    },
    {
      name: 'unsafe',
      short: 'unsafe operations',
      hidden: true,
      groupFlags: [noConfirm],
      commands: [
        { name: 'show-metadata', short: 'Show metadata stored in PD', load: () => import('./unsafe-show-metadata.ts') },
        {
          name: 'delete-service-gc-safepoint',
          short:
            'Delete CDC service GC safepoint in PD, confirm that you know what this command will do and use it at your own risk',
          flags: upstream,
          load: () => import('./unsafe-delete-safepoint.ts'),
        },
      ],
    },
  ],
}

const server: Command = {
  name: 'server',
  short: 'Start a TiCDC capture server',
  flags: [
    { name: 'addr', kind: 'string', fallback: '127.0.0.1:8300', usage: 'Set the listening address' },
    { name: 'advertise-addr', kind: 'string', usage: 'Set the advertise listening address for client communication' },
    { name: 'cluster-id', kind: 'string', fallback: 'default', usage: 'Set cdc cluster id' },
    { name: 'tz', kind: 'string', fallback: 'System', usage: 'Specify time zone of TiCDC cluster' },
    { name: 'gc-ttl', kind: 'int', fallback: '86400', usage: 'CDC GC safepoint TTL duration, specified in seconds' },
    { name: 'log-file', kind: 'string', usage: 'log file path' },
    { name: 'log-level', kind: 'string', fallback: 'info', usage: 'log level (etc: debug|info|warn|error)' },
    { name: 'data-dir', kind: 'string', usage: 'the path to the directory used to store TiCDC-generated data' },
    {
      name: 'pd',
      kind: 'string',
      fallback: 'http://127.0.0.1:2379',
      usage: 'Set the PD endpoints to use. Use `,` to separate multiple PDs',
    },
    { name: 'config', kind: 'string', usage: 'Path of the configuration file' },
    { name: 'ca', kind: 'string', usage: 'CA certificate path for TLS connection' },
    { name: 'cert', kind: 'string', usage: 'Certificate path for TLS connection' },
    { name: 'key', kind: 'string', usage: 'Private key path for TLS connection' },
    {
      name: 'cert-allowed-cn',
      kind: 'string',
      usage: "Verify caller's identity (cert Common Name). Use `,` to separate multiple CN",
    },
    { name: 'data-workers', kind: 'int', usage: 'Threads that carry the data (0: one per core)' },
    {
      name: 'owner-flush-interval',
      kind: 'duration',
      fallback: '50ms',
      usage: 'owner flushes changefeed status interval',
      hidden: true,
    },
    {
      name: 'processor-flush-interval',
      kind: 'duration',
      fallback: '50ms',
      usage: 'processor flushes task status interval',
      hidden: true,
    },
    { name: 'sort-dir', kind: 'string', fallback: '/tmp/sorter', usage: 'sorter directory', hidden: true },
  ],
  load: () => import('./server.ts'),
}

const playground: Command = {
  name: 'playground',
  short: 'Start a simulated TiDB cluster (PD, TiKV and SQL) for tests and demonstrations',
  flags: [
    { name: 'host', kind: 'string', fallback: '127.0.0.1', usage: 'address to listen on' },
    { name: 'pd-port', kind: 'int', fallback: '2379', usage: 'port of PD and etcd (0: a free one)' },
    { name: 'sql-port', kind: 'int', fallback: '4000', usage: 'port of the SQL front (0: a free one)' },
    { name: 'admin-port', kind: 'int', fallback: '2380', usage: 'port of the admin interface (0: a free one)' },
    { name: 'stores', kind: 'int', fallback: '3', usage: 'number of stores' },
    { name: 'data-dir', kind: 'string', usage: 'where data is kept (in memory only when empty)' },
    { name: 'etcd', kind: 'string', usage: 'URL of an etcd server that takes the place of the built-in one' },
    { name: 'pd', kind: 'string', usage: 'URL of a real PD: only the SQL front is started, over it' },
  ],
  load: () => import('./playground.ts'),
}

export const root: Command = {
  name: 'cdc',
  short: 'CDC',
  commands: [
    cli,
    { name: 'help', short: 'Help about any command' },
    playground,
    server,
    { name: 'version', short: 'Output version information', load: () => import('./version.ts') },
  ],
}
