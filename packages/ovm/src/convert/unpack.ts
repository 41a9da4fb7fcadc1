import { createReadStream } from "node:fs"
import { createGunzip, createZstdDecompress } from "node:zlib"
import type { Bytes, Call } from "../content/interfaces.ts"
import { invalid } from "../disk/file.ts"
import { runTool, ToolMissing } from "../disk/tool.ts"
import { toolOutput } from "../disk/tool-output.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { fillBounded } from "./fill.ts"
import { notInstalled } from "./not-installed.ts"
import type { Packing } from "./source.ts"
import { CONVERSION } from "./to-qcow2.ts"
import { ZstdFrames } from "./zstd-frames.ts"

/**
 * Unpacks the file `from` into the new file `to`, with zeros as holes. Throws OVM_DISK_INVALID for what is damaged or
 * has more than `most` bytes, OVM_HOST_FAILED where the program for it is missing, OVM_NO_SPACE, OVM_INTERRUPTED.
 */
export async function unpack(
  from: string,
  packing: Packing,
  to: { readonly path: string; readonly most: number },
  call: Call = {},
): Promise<void> {
  const tooMuch = () => invalid(from, `is more than ${to.most} bytes once it is unpacked`)
  if (packing === "xz" && (await sizeInXz(from, call)) > to.most) throw tooMuch()
  await fillBounded(unpacked(from, packing, call), to, tooMuch)
}

/** What the compressed file `from` has, of any length. Throws as `unpack` does. */
export async function* unpacked(from: string, packing: Packing, call: Call = {}): Bytes {
  try {
    if (packing === "gzip" || packing === "zstd") yield* byLibrary(from, packing, call)
    else yield* byProgram(from, packing, call)
  } catch (thrown) {
    if (thrown instanceof OvmError) throw thrown
    const error = toOvmError(thrown)
    if (error.code !== "OVM_INTERNAL") throw error
    throw invalid(
      from,
      `cannot be unpacked by ${packing}: ${thrown instanceof Error ? thrown.message : thrown}`,
    )
  }
}

async function* byLibrary(from: string, packing: "gzip" | "zstd", { signal }: Call): Bytes {
  const source = createReadStream(from)
  const stream = packing === "gzip" ? createGunzip() : createZstdDecompress()
  const frames = new ZstdFrames()
  if (packing === "zstd") source.on("data", (chunk) => frames.push(chunk as Buffer))
  source.on("error", (error) => stream.destroy(error))
  stream.on("close", () => source.destroy())
  const stop = () => stream.destroy(new OvmError("OVM_INTERRUPTED", "interrupted"))
  signal?.addEventListener("abort", stop, { once: true })
  try {
    yield* source.pipe(stream) as AsyncIterable<Buffer>
    if (!frames.whole) throw new Error("unexpected end of file")
  } finally {
    signal?.removeEventListener("abort", stop)
    stream.destroy()
  }
}

async function* byProgram(from: string, program: "xz" | "bzip2", call: Call): Bytes {
  try {
    yield* toolOutput(program, ["-dc", "--", from], CONVERSION, call)
  } catch (thrown) {
    if (thrown instanceof ToolMissing) throw notInstalled(thrown.program)
    // Its words, to be said of the file.
    if (thrown instanceof OvmError && thrown.code === "OVM_DISK_INVALID") throw new Error(thrown.message)
    throw thrown
  }
}

/** What its index says, without unpacking anything; 0 where that cannot be told. */
async function sizeInXz(path: string, call: Call): Promise<number> {
  const limits = { ms: 60_000, output: 64 * 1024 * 1024 }
  const listed = await runTool("xz", ["--robot", "--list", "--", path], limits, call).catch((thrown) => {
    if (toOvmError(thrown).code === "OVM_INTERRUPTED") throw thrown
  })
  // totals, streams, blocks, compressed, uncompressed
  return Number(/^totals(?:\t\d+){3}\t(\d+)/m.exec(listed?.stdout.toString("latin1") ?? "")?.[1] ?? 0)
}
