import type { Socket } from 'node:net'

import { describeError, isAbort } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { SqlError } from '../error.ts'
import type { ParsedStatement } from '../parser/ast.ts'
import type { Engine } from '../session/engine.ts'
import { Session } from '../session/session.ts'
import type { StatementResult } from '../session/session.ts'
import type { Variables } from '../session/variables.ts'
import type { Value } from '../value/value.ts'
import { PacketReader, PacketWriter } from './bytes.ts'
import { binaryRow, textRow, wireColumns } from './columns.ts'
import { Capability, greeting, readChangeUser, readLogin } from './handshake.ts'
import type { Login } from './handshake.ts'
import { PacketStream } from './packets.ts'
import { readParameters } from './parameters.ts'
import type { ParameterType } from './parameters.ts'

/** Commands by their first byte (source: MySQL's client/server protocol, "Command Phase"). */
const Command = {
  Quit: 0x01,
  InitDb: 0x02,
  Query: 0x03,
  FieldList: 0x04,
  Statistics: 0x09,
  Ping: 0x0e,
  ChangeUser: 0x11,
  StmtPrepare: 0x16,
  StmtExecute: 0x17,
  StmtSendLongData: 0x18,
  StmtClose: 0x19,
  StmtReset: 0x1a,
  SetOption: 0x1b,
  ResetConnection: 0x1f,
} as const

const Status = { InTransaction: 0x1, Autocommit: 0x2, MoreResults: 0x8 } as const

interface Prepared {
  readonly parsed: ParsedStatement
  types: readonly ParameterType[]
  readonly long: Map<number, Buffer>
}

export interface ConnectionOptions {
  readonly engine: Engine
  readonly globals: Variables
  readonly connectionId: number
  readonly log: Log
}

/** Serves one client until it leaves or `signal` is aborted. */
export async function serveConnection(socket: Socket, options: ConnectionOptions, signal: AbortSignal): Promise<void> {
  const gone = new AbortController()
  const stop = (): void => void socket.destroy()
  socket.setNoDelay(true)
  socket.once('close', () => gone.abort())
  socket.on('error', () => gone.abort())
  signal.addEventListener('abort', stop, { once: true })
  const connection = new Connection(socket, options, AbortSignal.any([signal, gone.signal]))
  try {
    await connection.run()
  } catch (error) {
    if (!gone.signal.aborted && !isAbort(error) && !signal.aborted)
      options.log.warn('connection of an SQL client failed', {
        connectionId: options.connectionId,
        error: describeError(error),
      })
  } finally {
    connection.end()
    signal.removeEventListener('abort', stop)
    socket.destroy()
  }
}

class Connection {
  readonly #options: ConnectionOptions
  readonly #signal: AbortSignal
  readonly #packets: PacketStream
  readonly #address: string
  readonly #prepared = new Map<number, Prepared>()
  #session: Session | undefined
  #capabilities = 0
  #multiStatements = false
  #nextStatement = 1

  constructor(socket: Socket, options: ConnectionOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
    this.#packets = new PacketStream(socket)
    this.#address = socket.remoteAddress ?? ''
  }

  end(): void {
    this.#session?.end()
  }

  async run(): Promise<void> {
    await this.#packets.write(greeting(this.#options.connectionId, Status.Autocommit))
    await this.#packets.flush()
    const answer = await this.#packets.read()
    const login = answer === undefined ? undefined : readLogin(answer)
    if (login === undefined) return
    let session = await this.#logIn(login)
    while (session !== undefined) {
      const packet = await this.#packets.read()
      if (packet === undefined || packet[0] === Command.Quit) return
      session = await this.#answer(packet, session)
      this.#session = session
      await this.#packets.flush()
    }
  }

  /** Only `root` without a password may enter. */
  async #logIn(login: Login): Promise<Session | undefined> {
    this.#capabilities = login.capabilities
    this.#multiStatements = (login.capabilities & Capability.MultiStatements) !== 0
    const user = `${login.user}@${this.#address}`
    try {
      if (login.user !== 'root' || login.hasPassword)
        throw new SqlError(
          1045,
          `Access denied for user '${login.user}'@'${this.#address}' (using password: ${login.hasPassword ? 'YES' : 'NO'})`,
        )
      const { engine, globals, connectionId } = this.#options
      const session = new Session({
        engine,
        globals,
        connectionId,
        user,
        foundRows: (login.capabilities & Capability.FoundRows) !== 0,
      })
      this.#session = session
      if (login.database !== '') await session.use(login.database, this.#signal)
      await this.#ok(session, 0n, 0n, '', false)
      await this.#packets.flush()
      return session
    } catch (error) {
      await this.#error(error)
      await this.#packets.flush()
      return undefined
    }
  }

  /** Answers one command; undefined ends the connection. */
  async #answer(packet: Buffer, session: Session): Promise<Session | undefined> {
    try {
      switch (packet[0]) {
        case Command.Query:
          await this.#query(packet.toString('latin1', 1), session)
          return session
        case Command.Ping:
        case Command.StmtReset:
          if (packet[0] === Command.StmtReset) this.#prepared.get(packet.readUInt32LE(1))?.long.clear()
          await this.#ok(session, 0n, 0n, '', false)
          return session
        case Command.InitDb:
          await session.use(packet.toString('utf8', 1), this.#signal)
          await this.#ok(session, 0n, 0n, '', false)
          return session
        case Command.StmtPrepare:
          await this.#prepare(packet.toString('latin1', 1), session)
          return session
        case Command.StmtExecute:
          await this.#execute(packet, session)
          return session
        case Command.StmtSendLongData: {
          const { long } = this.#statement(packet.readUInt32LE(1))
          const parameter = packet.readUInt16LE(5)
          long.set(parameter, Buffer.concat([long.get(parameter) ?? Buffer.alloc(0), packet.subarray(7)]))
          return session
        }
        case Command.StmtClose:
          this.#prepared.delete(packet.readUInt32LE(1))
          return session
        case Command.FieldList:
          await this.#fieldList(new PacketReader(packet, 1).zeroText(), session)
          return session
        case Command.Statistics:
          await this.#packets.write(Buffer.from('Uptime: 1  Threads: 1'))
          return session
        case Command.SetOption:
          this.#multiStatements = packet.readUInt16LE(1) === 0
          await this.#eof(session, 0, false)
          return session
        case Command.ResetConnection: {
          const fresh = session.reset()
          this.#prepared.clear()
          await this.#ok(fresh, 0n, 0n, '', false)
          return fresh
        }
        case Command.ChangeUser:
          session.end()
          this.#prepared.clear()
          return await this.#logIn(readChangeUser(packet, this.#capabilities))
        default:
          throw new SqlError(1047, `command ${packet[0]} not supported now`)
      }
    } catch (error) {
      if (this.#signal.aborted) return undefined
      await this.#error(error)
      return session
    }
  }

  async #query(text: string, session: Session): Promise<void> {
    const statements = session.parse(text)
    if (statements.length > 1 && !this.#multiStatements)
      throw new SqlError(
        8130,
        "client has multi-statement capability disabled. Run SET GLOBAL tidb_multi_statement_mode='ON' after you understand the security risk",
      )
    for (const [i, statement] of statements.entries()) {
      const result = await session.execute(statement, [], this.#signal)
      await this.#result(result, session, false, i < statements.length - 1)
    }
  }

  async #prepare(text: string, session: Session): Promise<void> {
    const [parsed, ...more] = session.parse(text)
    if (parsed === undefined || more.length > 0) throw new SqlError(1295, 'Can not prepare multiple statements')
    const id = this.#nextStatement++
    this.#prepared.set(id, { parsed, types: [], long: new Map() })
    await this.#packets.write(new PacketWriter().u8(0).u32(id).u16(0).u16(parsed.parameters).u8(0).u16(0).finish())
    if (parsed.parameters === 0) return
    const [parameter] = wireColumns([{ name: '?', originalName: '', table: '', schema: '', type: undefined }], [['']])
    for (let i = 0; i < parsed.parameters && parameter !== undefined; i++)
      await this.#packets.write(parameter.definition)
    await this.#eof(session, 0, false)
  }

  #statement(id: number): Prepared {
    const prepared = this.#prepared.get(id)
    if (prepared === undefined) throw new SqlError(1243, `Unknown prepared statement handler (${id}) given to EXECUTE`)
    return prepared
  }

  async #execute(packet: Buffer, session: Session): Promise<void> {
    const prepared = this.#statement(packet.readUInt32LE(1))
    if (packet[5] !== 0)
      throw new SqlError(1235, "This version of the Tidewire playground doesn't yet support 'cursors'")
    const { values, types } = readParameters(packet, prepared.parsed.parameters, prepared.types, prepared.long)
    prepared.types = types
    prepared.long.clear()
    const parameters: readonly Value[] = values
    await this.#result(await session.execute(prepared.parsed, parameters, this.#signal), session, true, false)
  }

  async #fieldList(table: string, session: Session): Promise<void> {
    const [parsed] = session.parse(
      Buffer.from(`SELECT * FROM \`${table.replaceAll('`', '``')}\` LIMIT 0`).toString('latin1'),
    )
    if (parsed === undefined) return
    const result = await session.execute(parsed, [], this.#signal)
    if (result.kind !== 'rows') return
    for (const { definition } of wireColumns(result.columns, []))
      await this.#packets.write(Buffer.concat([definition, Buffer.of(0xfb)]))
    await this.#eof(session, 0, false)
  }

  async #result(result: StatementResult, session: Session, binary: boolean, more: boolean): Promise<void> {
    if (result.kind === 'ok') return this.#ok(session, result.affectedRows, result.insertId, result.info, more)
    const columns = wireColumns(result.columns, result.rows)
    await this.#packets.write(new PacketWriter().length(columns.length).finish())
    for (const { definition } of columns) await this.#packets.write(definition)
    await this.#eof(session, session.warnings.length, more)
    for (const row of result.rows) await this.#packets.write(binary ? binaryRow(row, columns) : textRow(row))
    await this.#eof(session, session.warnings.length, more)
  }

  #status(session: Session, more: boolean): number {
    return (
      (session.inTransaction ? Status.InTransaction : 0) |
      (session.autocommit ? Status.Autocommit : 0) |
      (more ? Status.MoreResults : 0)
    )
  }

  async #ok(session: Session, affectedRows: bigint, insertId: bigint, info: string, more: boolean): Promise<void> {
    const writer = new PacketWriter()
      .u8(0)
      .length(affectedRows)
      .length(BigInt.asUintN(64, insertId))
      .u16(this.#status(session, more))
      .u16(session.warnings.length)
    if (info !== '') writer.sizedText(info)
    await this.#packets.write(writer.finish())
  }

  async #eof(session: Session, warnings: number, more: boolean): Promise<void> {
    await this.#packets.write(new PacketWriter().u8(0xfe).u16(warnings).u16(this.#status(session, more)).finish())
  }

  async #error(error: unknown): Promise<void> {
    const known = error instanceof SqlError ? error : new SqlError(1105, describeError(error), { cause: error })
    if (!(error instanceof SqlError))
      this.#options.log.warn('statement failed unexpectedly', {
        connectionId: this.#options.connectionId,
        error: describeError(error),
        stack: error instanceof Error ? error.stack : undefined,
      })
    await this.#packets.write(
      new PacketWriter()
        .u8(0xff)
        .u16(known.errno)
        .u8(0x23)
        .bytes(Buffer.from(known.sqlState))
        .bytes(Buffer.from(known.message))
        .finish(),
    )
  }
}
