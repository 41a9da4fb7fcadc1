import type { StreamInput } from "../../content/archive/input.ts"
import { isKept } from "../ext4/attributes.ts"
import { Node, type NodeKind, type StoredContent } from "../ext4/node.ts"
import { hasRoom } from "../ext4/placing.ts"
import { type Header, readTarHeader } from "./header.ts"
import { beyond, type ContainerLimits, fault, quotedName } from "./limits.ts"
import { type Extra, readPax, unkeepable } from "./pax.ts"

// Own code and not a library: names and attributes are bytes, and what an entry may do is decided here.

/** One entry of a layer. */
export interface Entry {
  readonly name: string
  /** What it is; undefined for one more name of what `link` names. */
  readonly node: Node | undefined
  readonly link: string
}

/** Of what all layers together may have, what is left. */
export interface Budget {
  entries: number
  textBytes: number
  bytes: number
}

export interface Reading {
  readonly what: string
  readonly limits: ContainerLimits
  readonly left: Budget
  /** Puts the next bytes of `input`, the content of a file, aside; undefined if there are not so many. */
  keep(input: StreamInput, size: number): Promise<StoredContent | undefined>
  remark(sentence: string): void
}

const RECORD = 512
/** Of a long name, or of a pax header. */
const MOST_EXTRA = 1024 * 1024
const KINDS: Readonly<Record<string, NodeKind>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "2": "link",
  "3": "character",
  "4": "block",
  "5": "folder",
  "6": "pipe",
}
const HARD_LINK = "1"

/** The entries of a layer, in order, with their content put aside. Throws OVM_ARTIFACT_INVALID, OVM_TOO_LARGE. */
export async function readEntries(input: StreamInput, reading: Reading): Promise<Entry[]> {
  const { what, left } = reading
  const entries: Entry[] = []
  let extra: Extra = {}
  for (;;) {
    const block = await input.read(RECORD)
    if (block.byteLength === 0) return entries
    if (block.byteLength < RECORD) throw fault(what, "it is cut short")
    if (block[0] === 0 && block.every((byte) => byte === 0)) break
    const header = readTarHeader(block)
    if (!header) throw fault(what, `what is at byte ${input.position - RECORD} is no entry of a tar archive`)
    if ("xgLK".includes(header.type)) {
      extra = await readExtra(input, header, extra, reading)
      continue
    }
    if (--left.entries < 0) throw beyond(what, reading.limits.entries, "entries")
    entries.push(await readEntry(input, { ...header, ...without(extra) }, extra, reading))
    extra = {}
  }
  // What pads it is part of what its digest is of.
  while ((await input.some(RECORD * 128)).byteLength > 0);
  return entries
}

function without({ attributes: _, nanoseconds: __, ...facts }: Extra): Partial<Header> {
  return facts
}

async function readExtra(
  input: StreamInput,
  { type, size, name }: Header,
  before: Extra,
  { what, left, limits }: Reading,
): Promise<Extra> {
  if (size > MOST_EXTRA) throw fault(what, `what belongs to ${quotedName(name)} takes ${size} bytes`)
  left.textBytes -= size
  if (left.textBytes < 0) throw beyond(what, limits.textBytes, "bytes of names and attributes")
  // It may be a part of what the next read gives.
  const bytes = Buffer.from(await input.read(size))
  if (bytes.length < size || !(await input.skip(-size & (RECORD - 1)))) throw fault(what, "it is cut short")
  const extra = { ...before }
  const text = () => bytes.toString("latin1", 0, bytes.includes(0) ? bytes.indexOf(0) : size)
  if (type === "L") extra.name = text()
  if (type === "K") extra.link = text()
  const reason = type === "x" ? readPax(bytes, extra) : undefined
  if (reason) throw fault(what, `${quotedName(extra.name ?? name)}: ${reason}`)
  return extra
}

async function readEntry(
  input: StreamInput,
  header: Header,
  { attributes, nanoseconds = 0 }: Extra,
  reading: Reading,
): Promise<Entry> {
  const { what, left, limits } = reading
  const { name, link, uid, gid, seconds } = header
  left.textBytes -= name.length + link.length
  if (left.textBytes < 0) throw beyond(what, limits.textBytes, "bytes of names and attributes")
  if (header.type === HARD_LINK) return { name, node: undefined, link }
  const kind = name.endsWith("/") && KINDS[header.type] === "file" ? "folder" : KINDS[header.type]
  const refuse = (reason: string) => fault(what, `${quotedName(name)}: ${reason}`)
  if (!kind) throw refuse(`it is of a type that is not known: ${quotedName(header.type)}`)
  const reason = unkeepable(uid, gid, seconds) ?? (kind === "link" ? badTarget(link) : undefined)
  if (reason) throw refuse(reason)
  const node = Object.assign(new Node(kind), { mode: header.mode, uid, gid, seconds, nanoseconds })
  if (kind === "link") node.target = link
  if (kind === "character" || kind === "block") node.device = deviceOf(header, refuse)
  if (attributes) node.attributes = kept(attributes, name, reading)
  if (kind === "file") {
    left.bytes -= header.size
    if (left.bytes < 0) throw beyond(what, limits.bytes, "bytes")
    const content = await reading.keep(input, header.size)
    if (!content || !(await input.skip(-header.size & (RECORD - 1)))) throw refuse("it is cut short")
    node.content = content
  }
  return { name, node, link }
}

function badTarget(target: string): string | undefined {
  if (target === "" || target.includes("\0")) return "it leads nowhere"
  return target.length > 4095 ? "where it leads is longer than 4095 bytes" : undefined
}

function deviceOf({ device }: Header, refuse: (reason: string) => Error): readonly [number, number] {
  const [major, minor] = device
  if (major < 0 || major >= 2 ** 12 || minor < 0 || minor >= 2 ** 20)
    throw refuse(`there is no device ${major}:${minor} on Linux`)
  return device
}

/** Those that ext4 has a place for. */
function kept(
  attributes: ReadonlyMap<string, string>,
  name: string,
  { what, remark }: Reading,
): ReadonlyMap<string, string> | undefined {
  const all = [...attributes].filter(([key]) => isKept(key))
  for (const key of attributes.keys())
    if (!isKept(key)) remark(`${what}: ${quotedName(name)}: its attribute ${quotedName(key)} is left out`)
  const some = new Map(all)
  const long = all.some(([key]) => key.length > 255)
  if (long || !hasRoom(some))
    throw fault(what, `${quotedName(name)}: its extended attributes take more than a block of ext4`)
  return some.size > 0 ? some : undefined
}
