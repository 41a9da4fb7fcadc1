import { spawn } from "node:child_process"
import { createReadStream } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { Readable } from "node:stream"
import { createGunzip, createZstdDecompress } from "node:zlib"
import type { Call } from "../content/interfaces.ts"
import { invalid } from "../disk/file.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { overwrite } from "../files/sparse.ts"
import type { Packing } from "./source.ts"

/** What there is no library for here is done by the program of that name. */
const PROGRAMS = { xz: "xz", bzip2: "bzip2" } as const
/** Of address space, in bytes: xz's largest preset takes 65 MiB to unpack. */
const MEMORY = 2 ** 30

/**
 * Unpacks the file `from` into the new file `to`, with zeros as holes. Throws OVM_DISK_INVALID for what is damaged or
 * has more than `most` bytes, OVM_HOST_FAILED where the program for it is missing, OVM_NO_SPACE, OVM_INTERRUPTED.
 */
export async function unpack(
  from: string,
  packing: Packing,
  to: { readonly path: string; readonly most: number },
  { signal }: Call = {},
): Promise<void> {
  const stream =
    packing === "gzip" || packing === "zstd" ? byLibrary(from, packing) : byProgram(from, PROGRAMS[packing])
  const stop = () => stream.destroy(new OvmError("OVM_INTERRUPTED", "interrupted"))
  signal?.addEventListener("abort", stop, { once: true })
  try {
    await using file = await open(to.path, "wx", 0o600)
    await write(stream, file, (size) => {
      if (size > to.most) throw invalid(from, `is more than ${to.most} bytes once it is unpacked`)
    })
  } catch (thrown) {
    if (thrown instanceof OvmError) throw thrown
    const error = toOvmError(thrown)
    if (error.code !== "OVM_INTERNAL") throw error
    throw invalid(
      from,
      `cannot be unpacked by ${packing}: ${thrown instanceof Error ? thrown.message : thrown}`,
    )
  } finally {
    signal?.removeEventListener("abort", stop)
    stream.destroy()
  }
}

async function write(stream: Readable, file: FileHandle, grows: (size: number) => void): Promise<void> {
  let size = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    grows(size + chunk.length)
    await overwrite({ fd: file.fd, size: size + chunk.length }, [chunk], size)
    size += chunk.length
  }
  // Zeros at its end are a hole that nothing was written to.
  await file.truncate(size)
}

function byLibrary(from: string, packing: "gzip" | "zstd"): Readable {
  const source = createReadStream(from)
  const unpacked = packing === "gzip" ? createGunzip() : createZstdDecompress()
  source.on("error", (error) => unpacked.destroy(error))
  unpacked.on("close", () => source.destroy())
  return source.pipe(unpacked)
}

function byProgram(from: string, program: string): Readable {
  const child = spawn("prlimit", [`--as=${MEMORY}`, "--core=0", "--", program, "-dc", "--", from], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C" },
  })
  const { stdout, stderr } = child
  let said = ""
  stderr.on("data", (chunk) => {
    said = `${said}${chunk}`.slice(0, 1000)
  })
  child.on("error", () => stdout.destroy(missing("prlimit")))
  stdout.on("close", () => child.kill("SIGKILL"))
  // Its output may end before it says that it failed.
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve))
  return checked(stdout, async () => {
    const status = await ended
    if (status === 127 || /failed to execute/.test(said)) throw missing(program)
    if (status !== 0) throw new Error(said.trim() || `status ${status}`)
  })
}

/** What `source` has, and then what `end` throws. */
function checked(source: Readable, end: () => Promise<void>): Readable {
  return Readable.from(
    (async function* () {
      yield* source
      await end()
    })(),
    { objectMode: false },
  )
}

function missing(program: string): OvmError {
  const packages: Readonly<Record<string, string>> = { xz: "xz-utils", prlimit: "util-linux" }
  return new OvmError("OVM_HOST_FAILED", `${program} is not installed`, {
    hint: `apt-get install ${packages[program] ?? program}`,
  })
}
