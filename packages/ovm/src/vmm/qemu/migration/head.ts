import {
  hex,
  IGNORE_SHARED,
  MAGIC,
  malformed,
  PAGE,
  PAGE_BITS,
  RAM_VERSION,
  Ram,
  Section,
  STREAM_VERSION,
  SWITCHOVER_START,
} from "./format.ts"

/**
 * Where the guest's pages go. Offsets are bytes in its RAM, multiples of 4 KiB; `bytes` are valid during the call only.
 */
export interface PageSink {
  page(offset: number, bytes: Uint8Array): void
  zero(offset: number): void
}

export interface RamBlock {
  /** The RAM backend's id. */
  readonly name: string
  /** Bytes. */
  readonly size: number
}

/** What the stream says of the machine that wrote it. */
export interface Configuration {
  /** Such as `pc-q35-7.2`. */
  readonly machineType: string
  readonly capabilities: readonly string[]
  /** Hexadecimal; only if the machine was given one. */
  readonly uuid?: string
}

/** Asks for the number of bytes that it yields, and is given exactly those. */
type Reader<T> = Generator<number, T, Buffer>

const MAX_BLOCKS = 64
const MAX_NAME = 255

/**
 * Reads everything before the first device: header, configuration and the RAM's sections; ends with the type byte of
 * the first FULL section. Gives the pages of `block` to `sink` and everything else to `keep`, in order.
 */
export function* parseHead(
  block: RamBlock,
  sink: PageSink,
  keep: (bytes: Buffer) => void,
): Reader<Configuration> {
  let at = 0
  const refuse = (reason: string) => malformed(at, reason)
  function* take(length: number): Reader<Buffer> {
    const bytes = yield length
    at += length
    return bytes
  }
  function* kept(length: number): Reader<Buffer> {
    const bytes = yield* take(length)
    keep(bytes)
    return bytes
  }
  const byte = function* (): Reader<number> {
    return (yield* kept(1)).readUInt8()
  }
  const word = function* (): Reader<number> {
    return (yield* kept(4)).readUInt32BE()
  }
  const name = function* (): Reader<string> {
    const length = yield* byte()
    if (length === 0) throw refuse("a name is empty")
    return (yield* kept(length)).toString("latin1")
  }

  const header = yield* kept(8)
  if (header.readUInt32BE() !== MAGIC) throw refuse("it does not start with QEMU's magic number")
  if (header.readUInt32BE(4) !== STREAM_VERSION)
    throw refuse(`version ${header.readUInt32BE(4)} is not known`)
  if ((yield* byte()) !== Section.CONFIGURATION) throw refuse("the configuration is missing")

  // vmstate_configuration in migration/savevm.c
  const length = yield* word()
  if (length === 0 || length > MAX_NAME) throw refuse(`a machine type of ${length} bytes`)
  const machineType = (yield* kept(length)).toString("latin1")
  const capabilities: string[] = []
  let uuid: string | undefined
  let type = yield* byte()
  for (const seen = new Set<string>(); type === Section.SUBSECTION; type = yield* byte()) {
    const subsection = yield* name()
    const version = yield* word()
    if (version !== 1) throw refuse(`version ${version} of ${subsection} is not known`)
    if (seen.has(subsection)) throw refuse(`${subsection} comes twice`)
    seen.add(subsection)
    if (subsection === "configuration/target-page-bits") {
      const bits = yield* word()
      if (bits !== PAGE_BITS) throw refuse(`pages of 2^${bits} bytes`)
    } else if (subsection === "configuration/capabilities") {
      const count = yield* word()
      if (count > 1) throw refuse(`${count} capabilities`)
      if (count === 1) capabilities.push(yield* name())
      for (const one of capabilities)
        if (one !== IGNORE_SHARED) throw refuse(`the capability ${JSON.stringify(one)} is not known`)
    } else if (subsection === "configuration/uuid") uuid = (yield* kept(16)).toString("hex")
    else throw refuse(`the subsection ${JSON.stringify(subsection)} is not known`)
  }
  const withAddress = capabilities.includes(IGNORE_SHARED)

  const blocks = new Map<string, number>()
  let current: string | undefined
  /** The list of blocks (ram_save_setup in migration/ram.c). */
  function* blockList(total: number): Reader<void> {
    if (blocks.size > 0) throw refuse("a second list of RAM blocks")
    for (let left = total; left > 0; ) {
      const label = yield* name()
      const size = Number((yield* kept(8)).readBigUInt64BE())
      // The block's guest address, which a mapped block must have at the other side too.
      if (withAddress) yield* kept(8)
      if (size === 0 || size > left || size % PAGE !== 0) throw refuse(`RAM block ${label} of ${size} bytes`)
      if (blocks.has(label)) throw refuse(`RAM block ${label} comes twice`)
      if (blocks.size === MAX_BLOCKS) throw refuse(`more than ${MAX_BLOCKS} RAM blocks`)
      blocks.set(label, size)
      left -= size
    }
    const size = blocks.get(block.name)
    if (size !== block.size)
      throw refuse(`RAM block ${block.name} has ${size ?? "no"} bytes, not ${block.size}`)
  }

  /** Records up to and including the end mark of a section (ram_load_precopy in migration/ram.c). */
  function* records(): Reader<void> {
    for (;;) {
      const record = yield 8
      at += 8
      const low = record.readUInt32BE(4)
      const flags = low % PAGE
      const offset = record.readUInt32BE() * 2 ** 32 + (low - flags)
      if (flags === Ram.EOS && offset === 0) return keep(record)
      if (flags === Ram.MEM_SIZE) {
        keep(record)
        yield* blockList(offset)
        continue
      }
      const kind = flags & ~Ram.CONTINUE
      if (kind !== Ram.PAGE && kind !== Ram.ZERO) throw refuse(`RAM record with flags ${hex(flags)}`)
      let prefix: Buffer | undefined
      if (!(flags & Ram.CONTINUE)) {
        const head = Buffer.from(record)
        const length = (yield* take(1)).readUInt8()
        const label = yield* take(length)
        current = label.toString("latin1")
        prefix = Buffer.concat([head, Buffer.of(length), label])
      } else if (current !== block.name) prefix = Buffer.from(record)
      const size = current === undefined ? undefined : blocks.get(current)
      if (current === undefined || size === undefined) throw refuse(`a page of an unknown RAM block`)
      if (offset > size - PAGE) throw refuse(`page ${hex(offset)} is outside RAM block ${current}`)
      const bytes = yield kind === Ram.PAGE ? PAGE : 1
      at += bytes.length
      if (kind === Ram.ZERO && bytes[0] !== 0) throw refuse(`a page filled with ${hex(bytes[0] ?? 0)}`)
      if (current !== block.name) {
        if (prefix) keep(prefix)
        keep(bytes)
      } else if (kind === Ram.PAGE) sink.page(offset, bytes)
      else sink.zero(offset)
    }
  }

  let id: number | undefined
  let [ended, switched] = [false, false]
  for (; ; type = yield* byte()) {
    if (type === Section.FULL && ended) break
    if (type === Section.COMMAND) {
      const head = yield* kept(4)
      const [command, length] = [head.readUInt16BE(), head.readUInt16BE(2)]
      if (command === SWITCHOVER_START.command && length === SWITCHOVER_START.length && !switched) {
        switched = true
        continue
      }
      throw refuse(`command ${command} of ${length} bytes is not known`)
    }
    if (type !== Section.START && type !== Section.PART && type !== Section.END)
      throw refuse(`a section of type ${hex(type)} ${ended ? "after" : "before the end of"} RAM`)
    if (ended || (type === Section.START) !== (id === undefined))
      throw refuse(`a section of type ${hex(type)} out of order`)
    const number = yield* word()
    if (type === Section.START) {
      const label = yield* name()
      const instance = yield* word()
      const version = yield* word()
      if (label !== "ram" || instance !== 0 || version !== RAM_VERSION)
        throw refuse(
          `section ${JSON.stringify(label)}, instance ${instance}, version ${version} is not known`,
        )
      id = number
    } else if (number !== id) throw refuse(`section ${number} was not started`)
    yield* records()
    if (blocks.size === 0) throw refuse("there is no list of RAM blocks")
    if ((yield* byte()) !== Section.FOOTER || (yield* word()) !== id)
      throw refuse("the section has no proper footer")
    ended = type === Section.END
  }
  return { machineType, capabilities, ...(uuid === undefined ? {} : { uuid }) }
}
