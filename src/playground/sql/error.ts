/** Error number → SQLSTATE; numbers that are absent have HY000 (source: MySQL's and TiDB's error tables). */
const SQL_STATES: Readonly<Record<number, string>> = {
  1040: '08004',
  1045: '28000',
  1046: '3D000',
  1047: '08S01',
  1048: '23000',
  1049: '42000',
  1050: '42S01',
  1051: '42S02',
  1052: '23000',
  1054: '42S22',
  1060: '42S21',
  1061: '42000',
  1062: '23000',
  1063: '42000',
  1064: '42000',
  1065: '42000',
  1066: '42000',
  1067: '42000',
  1068: '42000',
  1072: '42000',
  1074: '42000',
  1075: '42000',
  1090: '42000',
  1091: '42000',
  1101: '42000',
  1103: '42000',
  1110: '42000',
  1113: '42000',
  1115: '42000',
  1136: '21S01',
  1146: '42S02',
  1166: '42000',
  1170: '42000',
  1171: '42000',
  1176: '42000',
  1213: '40001',
  1222: '21000',
  1231: '42000',
  1232: '42000',
  1235: '42000',
  1241: '21000',
  1242: '21000',
  1248: '42000',
  1264: '22003',
  1265: '01000',
  1292: '22007',
  1305: '42000',
  1364: 'HY000',
  1365: '22012',
  1406: '22001',
  1425: '42000',
  1426: '42000',
  1427: '42000',
  1439: '42000',
  1568: '25001',
  1582: '42000',
  1690: '22003',
  1792: '25006',
  3140: '22032',
  3141: '22032',
}

/** What a client gets as an ERR packet: MySQL's number and state, TiDB's text. */
export class SqlError extends Error {
  readonly errno: number
  readonly sqlState: string

  constructor(errno: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SqlError'
    this.errno = errno
    this.sqlState = SQL_STATES[errno] ?? 'HY000'
  }
}

/** Valid SQL that TiDB runs and the playground does not (yet). */
export function unsupported(what: string): SqlError {
  return new SqlError(1235, `This version of the Tidewire playground doesn't yet support '${what}'`)
}

export const TXN_CONFLICT = 9007
export const SCHEMA_CHANGED = 8028
