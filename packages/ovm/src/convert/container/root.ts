import { createHash } from "node:crypto"
import { StreamInput } from "../../content/archive/input.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { writeExt4 } from "../ext4/write.ts"
import type { Workplace } from "../workplace.ts"
import { type Budget, readEntries } from "./entries.ts"
import type { ContainerImage } from "./image.ts"
import { unpackedLayer } from "./layer.ts"
import { beyond, CONTAINER_LIMITS, type ContainerLimits } from "./limits.ts"
import { addOwn, mainTexts } from "./own.ts"
import { Spool } from "./spool.ts"
import { Tree } from "./tree.ts"

export interface RootOptions extends Call {
  /** The program that the machine begins with: the agent. */
  readonly program: Uint8Array
  /** Of the file system, at least. */
  readonly bytes?: number
  /** Seconds since 1970. */
  readonly made?: number
  /** Lower ones are for tests. */
  readonly limits?: ContainerLimits
  /** Told of each layer before it is read. */
  readonly onLayer?: (index: number, of: number) => void
}

/** The root file system of a machine. */
export interface TakenRoot {
  /** A qcow2 in the workplace: one ext4 file system and nothing else. */
  readonly path: string
  /** What was left behind: sentences. */
  readonly remarks: readonly string[]
}

/** 10 GiB: what is not used takes no room. */
const USUAL_BYTES = 10 * 2 ** 30
const MOST_REMARKS = 20

/**
 * Makes a root file system of a container image (spec/import.md). Nothing is unpacked on this host: the layers' files
 * are entries in a tree in memory, and their content goes from one file into another. Throws OVM_ARTIFACT_INVALID,
 * OVM_TOO_LARGE, OVM_DIGEST_MISMATCH, OVM_NO_SPACE, OVM_INTERRUPTED, and what reading the image throws.
 */
export async function takeRoot(
  image: ContainerImage,
  place: Workplace,
  options: RootOptions,
): Promise<TakenRoot> {
  const { what, config } = image
  const { limits = CONTAINER_LIMITS, made = 0, bytes = USUAL_BYTES, program, signal } = options
  const left: Budget = { entries: limits.entries, textBytes: limits.textBytes, bytes: limits.bytes }
  const remarks = new Set<string>()
  const tree = new Tree()
  using spool = new Spool(place.file())
  for (const [index, layer] of image.layers.entries()) {
    options.onLayer?.(index, image.layers.length)
    const named = `${what}: layer ${index + 1}`
    const content = await layer.open(signal ? { signal } : {})
    const diffId = config.diffIds[index] ?? layer.digest
    let room = left.bytes
    const grows = (bytes: number) => {
      room -= bytes
      if (room < 0) throw beyond(named, limits.bytes, "bytes")
    }
    const input = new StreamInput(unpackedLayer({ content, diffId, what: named, grows }), options)
    const entries = await readEntries(input, {
      what: named,
      limits,
      left,
      keep: (input, size) => spool.keep(input, size),
      remark: (sentence) => {
        if (remarks.size < MOST_REMARKS) remarks.add(sentence)
      },
    })
    left.bytes = room
    tree.apply(entries, { what: named, limits, left })
  }
  const holding = { what, limits, left }
  if (!(await addOwn(tree, spool, { program, config, holding })))
    throw new OvmError("OVM_UNSUPPORTED", `${what}: its /etc/ovm is no folder`)
  await spool.flush()
  const path = place.file()
  const uuid = createHash("sha256")
    .update(config.diffIds.join())
    .update(mainTexts(config))
    .digest()
    .subarray(0, 16)
  await writeExt4(path, tree.root, spool, { ...options, bytes, uuid, made })
  return { path, remarks: [...remarks] }
}
