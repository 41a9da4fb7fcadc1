import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Digest, sha256 } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { readChunks } from "../../files/chunks.ts"
import { MACHINE_BOUNDS } from "../../machine-bounds.ts"
import { type RamCompression, tableSize } from "../../ram/format.ts"
import { inflateRam } from "../../ram/inflate.ts"
import { readArgument } from "../argument-file.ts"
import { interruptible } from "../interrupt.ts"
import { AskedJson } from "./asked-json.ts"

/** Of a table that is too long so many bytes more are read: that it is too long is found by who judges it. */
const TABLE_EXCESS = 1 << 20

/** What a snapshot descriptor says of its RAM. */
interface RamSaid {
  readonly compression: RamCompression
  readonly size: number
  readonly digest: Digest
}

/**
 * Inflates RAM on the wire as before a machine goes on from it (spec/snapshot.md, "Order of verification"). The files
 * are the question, the blob and its table. Throws as `inflateRam` does, and OVM_USAGE for a question that is none.
 */
export async function judgeRam([said, blob, table, ...more]: readonly string[]): Promise<{
  faults: readonly []
}> {
  if (said === undefined || blob === undefined || more.length > 0)
    throw new OvmError("OVM_USAGE", "ram is what is said of it, the blob, and its table if it has one", {
      hint: "ovm validate --help",
    })
  const facts = await AskedJson.read(said, saidOf)
  await interruptible(async (signal) => {
    const folder = await mkdtemp(join(tmpdir(), "ovm-ram-"))
    try {
      await inflateRam(blob, {
        ...facts,
        ...(await blobOf(blob, { signal })),
        ...(table !== undefined && {
          table: await readArgument(table, tableSize(facts.size) + TABLE_EXCESS),
        }),
        into: join(folder, "ram"),
        signal,
      })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
  return { faults: [] }
}

function saidOf(question: AskedJson): RamSaid {
  const compression = question.text("compression")
  if (compression !== "zstd" && compression !== "lz4") question.refuse("compression", "it is zstd or lz4")
  return {
    compression,
    size: question.size("size", MACHINE_BOUNDS.memory.to),
    digest: question.digest("digest"),
  }
}

/** No descriptor says which blob it is, so it is the one that is there. */
async function blobOf(
  path: string,
  call: Call,
): Promise<{ readonly ref: Digest; readonly blobSize: number }> {
  const hash = sha256()
  let blobSize = 0
  for await (const chunk of readChunks(path, call)) {
    hash.update(chunk)
    blobSize += chunk.byteLength
  }
  return { ref: hash.digest(), blobSize }
}
