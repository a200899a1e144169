import { randomBytes } from 'node:crypto'

import { SERVER_VERSION } from '../session/server-version.ts'
import { PacketReader, PacketWriter } from './bytes.ts'

/** Capability flags (source: MySQL's client/server protocol, "Capabilities Flags"). */
export const Capability = {
  LongPassword: 0x1,
  FoundRows: 0x2,
  LongFlag: 0x4,
  ConnectWithDb: 0x8,
  LocalFiles: 0x80,
  IgnoreSpace: 0x100,
  Protocol41: 0x200,
  Interactive: 0x400,
  Transactions: 0x2000,
  SecureConnection: 0x8000,
  MultiStatements: 0x1_0000,
  MultiResults: 0x2_0000,
  PsMultiResults: 0x4_0000,
  PluginAuth: 0x8_0000,
  ConnectAttrs: 0x10_0000,
  PluginAuthLenenc: 0x20_0000,
} as const

const OFFERED = Object.values(Capability).reduce((all, flag) => all | flag, 0)
const AUTH_PLUGIN = 'mysql_native_password'
const UTF8MB4_BIN = 46

/** The first packet of a connection. Only the empty password is known, so nothing is ever checked against the scramble. */
export function greeting(connectionId: number, status: number): Buffer {
  const scramble = Buffer.from(randomBytes(20).map((byte) => (byte % 94) + 33))
  return new PacketWriter()
    .u8(10)
    .zeroText(SERVER_VERSION)
    .u32(connectionId)
    .bytes(scramble.subarray(0, 8))
    .u8(0)
    .u16(OFFERED & 0xffff)
    .u8(UTF8MB4_BIN)
    .u16(status)
    .u16(OFFERED >>> 16)
    .u8(21)
    .zeros(10)
    .bytes(scramble.subarray(8))
    .u8(0)
    .zeroText(AUTH_PLUGIN)
    .finish()
}

export interface Login {
  readonly capabilities: number
  readonly user: string
  /** True when the client sent a password. */
  readonly hasPassword: boolean
  readonly database: string
}

/** The client's answer to the greeting; undefined where it speaks a protocol older than 4.1. */
export function readLogin(packet: Buffer): Login | undefined {
  const reader = new PacketReader(packet)
  const capabilities = reader.u32()
  if ((capabilities & Capability.Protocol41) === 0) return undefined
  reader.bytes(28)
  const user = reader.zeroText()
  const token = readToken(reader, capabilities)
  const database = (capabilities & Capability.ConnectWithDb) !== 0 && reader.left > 0 ? reader.zeroText() : ''
  return { capabilities, user, hasPassword: isPassword(token), database }
}

function readToken(reader: PacketReader, capabilities: number): Uint8Array {
  if ((capabilities & Capability.PluginAuthLenenc) !== 0) return reader.sized()
  if ((capabilities & Capability.SecureConnection) !== 0) return reader.bytes(reader.u8())
  return Buffer.from(reader.zeroText())
}

/** caching_sha2_password sends a single zero byte for no password. */
const isPassword = (token: Uint8Array): boolean => token.length > 1 || (token.length === 1 && token[0] !== 0)

/** COM_CHANGE_USER: user, token, database. */
export function readChangeUser(packet: Buffer, capabilities: number): Login {
  const reader = new PacketReader(packet, 1)
  const user = reader.zeroText()
  const token =
    (capabilities & Capability.SecureConnection) !== 0 ? reader.bytes(reader.u8()) : Buffer.from(reader.zeroText())
  return { capabilities, user, hasPassword: isPassword(token), database: reader.zeroText() }
}
