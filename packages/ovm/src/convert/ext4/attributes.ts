import { BLOCK_BYTES } from "./geometry.ts"

// Linux: Documentation/filesystems/ext4/attributes.rst.
const MAGIC = 0xea020000
const [BLOCK_HEADER, ENTRY] = [32, 16]
/** Behind the fields of an inode. */
const IN_INODE = 0xa0

/** How names begin, and the numbers that stand for it. What begins otherwise has no place in ext4. */
const PREFIXES: readonly (readonly [string, number])[] = [
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
]

interface Attribute {
  readonly index: number
  readonly name: string
  readonly value: Buffer<ArrayBuffer>
}

/** Whether an attribute of that name has a place in ext4. */
export function isKept(name: string): boolean {
  return PREFIXES.some(([prefix]) => (prefix.endsWith(".") ? name.startsWith(prefix) : name === prefix))
}

/** Puts `attributes` into the inode `bytes`, behind what it has; false if there is no room. */
export function putIntoInode(bytes: Uint8Array, attributes: ReadonlyMap<string, string>): boolean {
  const into = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const first = IN_INODE + 4
  if (fill(into, sorted(attributes), { first, origin: first }) === undefined) return false
  into.writeUInt32LE(MAGIC, IN_INODE)
  return true
}

/** A block of `attributes`; undefined if it does not hold them. */
export function attributeBlock(attributes: ReadonlyMap<string, string>): Uint8Array | undefined {
  const bytes = Buffer.alloc(BLOCK_BYTES)
  const hash = fill(bytes, sorted(attributes), { first: BLOCK_HEADER, origin: 0 })
  if (hash === undefined) return undefined
  bytes.writeUInt32LE(MAGIC, 0)
  bytes.writeUInt32LE(1, 4) // users
  bytes.writeUInt32LE(1, 8) // blocks
  bytes.writeUInt32LE(hash, 12)
  return bytes
}

/** Entries from `first` on, values at the end, by their distance from `origin`. Their hash; undefined if too many. */
function fill(
  bytes: Buffer,
  all: readonly Attribute[],
  { first, origin }: { readonly first: number; readonly origin: number },
): number | undefined {
  const size = all.reduce((sum, one) => sum + round(ENTRY + one.name.length) + round(one.value.length), 4)
  if (first + size > bytes.length) return undefined
  let [at, end, hash] = [first, bytes.length, 0]
  for (const { index, name, value } of all) {
    end -= round(value.length)
    value.copy(bytes, end)
    bytes[at] = name.length
    bytes[at + 1] = index
    bytes.writeUInt16LE(value.length > 0 ? end - origin : 0, at + 2)
    bytes.writeUInt32LE(value.length, at + 8)
    const own = entryHash(name, bytes.subarray(end, end + round(value.length)))
    bytes.writeUInt32LE(own, at + 12)
    bytes.write(name, at + ENTRY, "latin1")
    at += round(ENTRY + name.length)
    hash = ((hash << 16) ^ (hash >>> 16) ^ own) >>> 0
  }
  return hash
}

/** In the order that the kernel looks them up by. */
function sorted(attributes: ReadonlyMap<string, string>): Attribute[] {
  const all = [...attributes].map(([full, text]) => {
    const [prefix, index] = PREFIXES.find(([prefix]) => full.startsWith(prefix)) ?? ["", 0]
    const value = Buffer.from(text, "latin1")
    const name = full.slice(prefix.length)
    return { index, name, value: index === 2 || index === 3 ? accessList(value) : value }
  })
  const order = (one: Attribute, other: Attribute) =>
    one.index - other.index || one.name.length - other.name.length || (one.name < other.name ? -1 : 1)
  return all.sort(order)
}

/** An access control list as programs see it, in the shorter form that ext4 keeps. */
function accessList(seen: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const parts = [Buffer.from([1, 0, 0, 0])]
  for (let at = 4; at + 8 <= seen.length; at += 8) {
    const named = [0x02, 0x08].includes(seen.readUInt16LE(at)) // a user, a group
    parts.push(seen.subarray(at, at + (named ? 8 : 4)))
  }
  return Buffer.concat(parts)
}

function entryHash(name: string, value: Buffer): number {
  let hash = 0
  for (let at = 0; at < name.length; at++) hash = ((hash << 5) ^ (hash >>> 27) ^ name.charCodeAt(at)) >>> 0
  for (let at = 0; at < value.length; at += 4)
    hash = ((hash << 16) ^ (hash >>> 16) ^ value.readUInt32LE(at)) >>> 0
  return hash
}

function round(length: number): number {
  return (length + 3) & ~3
}
