import { execFile, spawn, spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { built } from "../built.ts"

// A program's system calls that fail as a bad disk, a full one or a short host makes them fail (inject.c).

export const FAULTS = ["EIO", "ENOSPC", "EMFILE", "ENOMEM", "short", "crash"] as const

export interface Fault {
  readonly kind: (typeof FAULTS)[number]
  /** Number of the first call that meets it, of those that can; 0 for none. */
  readonly from: number
  /** Of the last one. */
  readonly to: number
}

export interface Injected {
  /** 128 + signal if it was killed. */
  readonly status: number
  readonly stderr: string
  /** How many calls could have met the fault. */
  readonly calls: number
  /** The one of `from`: its name and file; `-` if there was none. */
  readonly hit: string
}

const FLAGS = ["-O2", "-Wall"]

function buildInject(): Promise<string> {
  return built("inject", import.meta.dir, FLAGS, async (folder) => {
    const source = join(import.meta.dir, "inject.c")
    await promisify(execFile)("gcc", [...FLAGS, "-o", join(folder, "inject"), source])
  })
}

/** Why nothing can be injected here; empty if it can. */
export const injectMissing = await missing()

async function missing(): Promise<string> {
  if (spawnSync("gcc", ["--version"]).status !== 0) return "(skipped: gcc is not installed)"
  const { status, stderr } = spawnSync(await buildInject(), ["/", "EIO", "0", "0", "/dev/null", "true"])
  return status === 0 ? "" : `(skipped: system calls cannot be watched here: ${stderr})`
}

/** Runs `command`, whose calls about files below `folder` meet the fault. */
export async function inject(
  folder: string,
  { kind, from, to }: Fault,
  command: readonly string[],
  options: { readonly cwd: string; readonly env: Record<string, string | undefined> },
): Promise<Injected> {
  const own = await mkdtemp(join(tmpdir(), "ovm-inject-"))
  try {
    const report = join(own, "report")
    const args = [folder, kind, String(from), String(to), report, ...command]
    const child = spawn(await buildInject(), args, { ...options, stdio: ["ignore", "ignore", "pipe"] })
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text))
    const status = await new Promise<number>((resolve, reject) => {
      child.on("error", reject).on("close", (code) => resolve(code ?? 1))
    })
    const [calls = "0", ...hit] = (await readFile(report, "utf8")).trimEnd().split(" ")
    return { status, stderr, calls: Number(calls), hit: hit.join(" ") }
  } finally {
    await rm(own, { recursive: true })
  }
}
