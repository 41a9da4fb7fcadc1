import { spawn } from "node:child_process"
import { closeSync, rmSync } from "node:fs"
import { join } from "node:path"
import { OvmError, toOvmError } from "../../errors.ts"
import type { Bounds } from "../../host/cgroup-bounds.ts"
import { sealedFile } from "../../host/libc.ts"
import { pidNamespace } from "../../host/pid-namespace.ts"
import { makeGroups, removeGroups } from "./group-of-vmm.ts"
import { HELD_FILE, holdFor } from "./held.ts"
import { KEEPER, keeperProgram } from "./keeper-program.ts"
import { processNice, sessionNice } from "./priority.ts"
import { clearTraces, lastSegment } from "./traces.ts"

/** Bytes that are kept of what the VMM says on standard error. */
const WORDS_LIMIT = 64 << 10

/** Where its descriptors are (packages/shim/src/keeper.h). */
const PROGRAM_AT = "/proc/self/fd/4"

/** The descriptors that a VMM has of what it was given by `inherited`, by `tpm` and, from that on, by `shareEnds`. */
export const INHERITED = 6
export const INHERITED_TPM = 7
export const INHERITED_SHARES = 8

export interface KeptOptions {
  readonly directory: string
  /** Bytes. */
  readonly consoleLimit: number
  /** The console goes on behind what is there of it. */
  readonly consoleGoesOn?: boolean
  /** A descriptor of this process that the VMM, and nobody else of the machine, holds as INHERITED. */
  readonly inherited?: number
  /** The same of its TPM, as INHERITED_TPM. */
  readonly tpmEnd?: number
  /** The same of those who serve its shares, at most 16. */
  readonly shareEnds?: readonly number[]
  /** What the VMM may take of the host. */
  readonly bounds?: Bounds
}

export interface Kept {
  /** Process group and session of the keeper and all below it. */
  readonly group: number
}

/**
 * Starts `argv` under a keeper in `directory`, so that nothing depends on this process: in a session of its own, with
 * no environment but PATH and a lower priority than this process has (docs/design/0034-keeper.md). Returns once the
 * keeper is spawned, which says nothing about the VMM. `consoleLimit` is in bytes. Throws OVM_VMM_FAILED if not even
 * the keeper could be started, OVM_NO_SPACE and OVM_HOST_FAILED if that is the host's fault, and what makeGroups
 * throws.
 */
export async function spawnKept(
  argv: readonly string[],
  { directory, consoleLimit, consoleGoesOn, inherited, tpmEnd, shareEnds = [], bounds = {} }: KeptOptions,
): Promise<Kept> {
  try {
    if (argv.some((text) => text.includes("\0"))) throw new Error("no argument can hold NUL")
    removeGroups(directory)
    clearTraces(directory, consoleGoesOn)
    const segment = { size: Math.max(1, Math.floor(consoleLimit / 2)), start: lastSegment(directory) }
    const groups = makeGroups(directory, bounds)
    const program = keeperProgram()
    using held = holdFor(directory)
    using request = requestOf(argv, segment, groups)
    const child = spawn(PROGRAM_AT, [directory], {
      argv0: KEEPER,
      cwd: directory,
      detached: true,
      stdio: [
        ...(["ignore", "ignore", "ignore"] as const),
        ...[request.fd, program, held.fd, inherited ?? "ignore", tpmEnd ?? "ignore", ...shareEnds],
      ] as const,
      env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
    })
    await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject))
    child.unref()
    if (child.pid === undefined) throw new Error("the keeper has no pid")
    return { group: child.pid }
  } catch (cause) {
    rmSync(join(directory, HELD_FILE), { force: true })
    removeGroups(directory)
    if (cause instanceof OvmError) throw cause
    const found = toOvmError(cause)
    const code = found.class === "host" ? found.code : "OVM_VMM_FAILED"
    throw new OvmError(code, `${argv[0]} could not be started: ${found.message}`, { cause })
  }
}

/** What the keeper is asked, as a file: it is in nobody's `ps`, and may be longer than an argument. */
function requestOf(
  argv: readonly string[],
  segment: { readonly size: number; readonly start: number },
  groups: readonly string[],
): { readonly fd: number } & Disposable {
  const texts = [
    segment.size,
    segment.start,
    WORDS_LIMIT,
    pidNamespace(),
    sessionNice() ?? "",
    processNice(),
    groups.join("\n"),
    ...argv,
  ]
  const fd = sealedFile("ovm-machine", Buffer.from(texts.map((text) => `${text}\0`).join("")))
  return { fd, [Symbol.dispose]: () => closeSync(fd) }
}
