import { isUtf8 } from "node:buffer"
import type { TarInput } from "../content/archive/input.ts"
import { tarMember } from "../content/archive/member.ts"
import { padding, type TarFacts } from "../content/archive/tar.ts"
import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { type Look, looking } from "./context-tar.ts"

const BLOCK = 512
/** Of a header that says something of the next one. */
const MOST_EXTRA = 1 << 20

interface Head {
  readonly name: string
  readonly size: number
  readonly facts: TarFacts & { readonly type: string; readonly link: string }
}

/** What another machine's agent gives of one path, one after the other (spec/agent.md, "Files"). */
export class StageTar {
  private constructor(
    private readonly input: TarInput,
    private readonly first: Head | undefined,
  ) {}

  static async open(input: TarInput): Promise<StageTar> {
    return new StageTar(input, await nextHead(input))
  }

  /** Whether the path is one. */
  get folder(): boolean {
    return this.first?.facts.type === "5"
  }

  /** All of it, `top` in place of the first name, and without the folder itself where that is empty. */
  async *members(top: string, look: Look): Bytes {
    for (let head = this.first; head; head = await nextHead(this.input)) {
      const name = under(top, head.name)
      const { facts, size } = head
      const said = { ...facts, ...(facts.type === "1" && { link: under(top, facts.link) }) }
      const folder = facts.type === "5"
      const whole = size + padding(size)
      if (name === "" && !folder) throw broken("a file in it has no name")
      if (name === "") await this.input.skip(whole)
      else {
        yield tarMember(folder ? `${name}/` : name, size, looking(said, look))
        let left = whole
        for await (const chunk of this.input.content(whole)) {
          left -= chunk.byteLength
          yield chunk
        }
        if (left > 0) throw broken("it is cut short")
      }
    }
  }
}

function under(top: string, name: string): string {
  const [, ...below] = name.split("/").filter((part) => part !== "" && part !== ".")
  return [top, ...below].filter(Boolean).join("/")
}

/** Undefined at the end. */
async function nextHead(input: TarInput): Promise<Head | undefined> {
  let name: string | undefined
  let link: string | undefined
  let size: number | undefined
  for (;;) {
    const block = Buffer.from(await input.read(BLOCK))
    if (block.length < BLOCK) throw broken("it is cut short")
    if (block.every((byte) => byte === 0)) return undefined
    const type = block[156] === 0 ? "0" : String.fromCharCode(block[156] ?? 0)
    const own = numberIn(block, 124, 12)
    if (!["x", "g", "L", "K"].includes(type)) {
      const prefix = text(block, 345, 155)
      const short = text(block, 0, 100)
      return {
        name: name ?? (prefix ? `${prefix}/${short}` : short),
        size: size ?? own,
        facts: {
          type,
          link: link ?? text(block, 157, 100),
          mode: numberIn(block, 100, 8) & 0o7777,
          time: numberIn(block, 136, 12),
          owner: { user: numberIn(block, 108, 8), group: numberIn(block, 116, 8) },
        },
      }
    }
    if (own > MOST_EXTRA) throw broken("a name in it is too long")
    const bytes = Buffer.from(await input.read(own))
    await input.skip(padding(own))
    if (type === "L") name = text(bytes, 0, bytes.length)
    if (type === "K") link = text(bytes, 0, bytes.length)
    if (type !== "x") continue
    for (const [key, value] of recordsIn(bytes)) {
      if (key === "path") name = value
      if (key === "linkpath") link = value
      if (key === "size") size = Number(value)
    }
  }
}

function* recordsIn(bytes: Buffer): Generator<readonly [string, string]> {
  for (let at = 0; at < bytes.length; ) {
    const length = Number.parseInt(bytes.subarray(at, at + 12).toString(), 10)
    if (!(length > 0)) throw broken("a pax header in it is none")
    const [, key = "", value = ""] = /^\d+ ([^=]+)=(.*)\n$/s.exec(utf8(bytes.subarray(at, at + length))) ?? []
    yield [key, value]
    at += length
  }
}

function text(bytes: Buffer, at: number, length: number): string {
  const field = bytes.subarray(at, at + length)
  const end = field.indexOf(0)
  return utf8(field.subarray(0, end < 0 ? length : end))
}

/** Other bytes would be replaced, and the name be another one. */
function utf8(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString()
  const name = JSON.stringify(bytes.toString())
  throw new OvmError("OVM_FILE_UNREADABLE", `${name} has a name that is not UTF-8, which is not supported`)
}

function numberIn(block: Buffer, at: number, length: number): number {
  if (block[at] === 0x80) return Number(`0x${block.subarray(at + 1, at + length).toString("hex")}`)
  return Number.parseInt(text(block, at, length).trim() || "0", 8) || 0
}

function broken(why: string): OvmError {
  return new OvmError("OVM_FILE_UNREADABLE", `what another stage's agent gave is no archive: ${why}`)
}
