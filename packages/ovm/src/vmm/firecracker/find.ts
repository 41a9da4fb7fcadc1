import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { OvmError } from "../../errors.ts"
import { type Binary, findBinary } from "../program.ts"

const FIRECRACKER = "firecracker"
/** The first with all that this adapter asks of it, and the last that it was tried with: an API of before 2.0. */
const OLDEST = [1, 13] as const
const ANSWER_MS = 10_000

type Environment = Record<string, string | undefined>

/** Whether there is one, or somebody said where one is. */
export function isInstalled(env: Environment = process.env): boolean {
  return Boolean(env.OVM_FIRECRACKER) || findBinary(FIRECRACKER, undefined, env) !== undefined
}

/** `OVM_FIRECRACKER`, or the first firecracker on PATH. Throws OVM_VMM_MISSING. */
export function findFirecracker(env: Environment = process.env): Binary {
  const { OVM_FIRECRACKER: said } = env
  const found = findBinary(FIRECRACKER, said, env)
  if (found) return found
  throw firecrackerMissing(
    said ? `OVM_FIRECRACKER=${said} is not a program` : `${FIRECRACKER} is not on PATH`,
  )
}

/** The version, such as `1.16.1`. Throws OVM_VMM_MISSING if it is of another kind, or does not say. */
export async function firecrackerVersion({ path }: Binary): Promise<string> {
  const [, version, major, minor] =
    /Firecracker v((\d+)\.(\d+)\.\d+)/.exec(await answerOf(path, "--version")) ?? []
  if (!version) throw firecrackerMissing(`${path} does not say its version`)
  if (Number(major) !== OLDEST[0] || Number(minor) < OLDEST[1])
    throw firecrackerMissing(
      `${path} is ${version}; ${OLDEST.join(".")} and later of version ${OLDEST[0]} are known`,
    )
  return version
}

/**
 * How its snapshots are written: their format has a version of its own, and one of another first number cannot be read.
 * Throws OVM_VMM_MISSING if it does not say.
 */
export async function snapshotFormat({ path }: Binary): Promise<string> {
  const major = /^v(\d+)\.\d+\.\d+$/m.exec(await answerOf(path, "--snapshot-version"))?.[1]
  if (major !== undefined) return `${FIRECRACKER}-${major}`
  throw firecrackerMissing(`${path} does not say the version of its snapshots`)
}

/** What it prints; empty if it fails, or takes too long. */
async function answerOf(path: string, option: string): Promise<string> {
  try {
    return (await promisify(execFile)(path, [option], { timeout: ANSWER_MS, maxBuffer: 64 << 10 })).stdout
  } catch {
    return ""
  }
}

export function firecrackerMissing(reason: string, hint = HINT): OvmError {
  return new OvmError("OVM_VMM_MISSING", `Firecracker cannot be used: ${reason}`, { hint })
}

const HINT =
  "put the program firecracker of a release of https://github.com/firecracker-microvm/firecracker on PATH, or its path into OVM_FIRECRACKER"
