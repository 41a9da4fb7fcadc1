import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { OvmError, toOvmError } from "../../errors.ts"
import { type Binary, findBinary } from "../program.ts"
import { boardOf } from "./board.ts"

/** JSON for -device, -object and -blockdev, all of which arguments.ts relies on. */
const OLDEST = [7, 2] as const
const ANSWER_MS = 10_000

/** `OVM_QEMU`, or the first qemu-system-x86_64 on PATH. Throws OVM_VMM_MISSING. */
export async function findQemu(env: Record<string, string | undefined> = process.env): Promise<Binary> {
  const { program } = boardOf({})
  const found = findBinary(program, env.OVM_QEMU, env)
  if (found) return found
  const where = env.OVM_QEMU ? `OVM_QEMU=${env.OVM_QEMU} is not a program` : `${program} is not on PATH`
  throw missing(where)
}

/** `OVM_QEMU_ARM64`, or the first qemu-system-aarch64 on PATH; undefined if there is none. */
export function findArm(env: Record<string, string | undefined> = process.env): Binary | undefined {
  return findBinary(boardOf({ architecture: "arm64" }).program, env.OVM_QEMU_ARM64, env)
}

/** The version, such as `7.2.22`. Throws OVM_VMM_MISSING if it is too old or does not say. */
export async function versionOf(binary: Binary): Promise<string> {
  const said = await answerOf(binary, ["--version"])
  const [version, major, minor] = /version (\d+)\.(\d+)[.\d]*/.exec(said) ?? []
  if (!version) throw missing(`${binary.path} does not say its version`)
  const [oldestMajor, oldestMinor] = OLDEST
  if (Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor))
    throw missing(`${binary.path} is ${version.slice("version ".length)}, older than ${OLDEST.join(".")}`)
  return version.slice("version ".length)
}

/** Its versioned machine types, such as `pc-q35-7.2`, the newest first; empty if it does not say. */
export async function machineTypesOf(
  binary: Binary,
  { types, newest } = boardOf({}),
): Promise<readonly string[]> {
  const said = await answerOf(binary, ["-machine", "help"])
  const latest = new RegExp(`^${newest} .*\\(alias of (${types}[\\d.]+)\\)`, "m").exec(said)?.[1]
  const all = [...said.matchAll(new RegExp(`^(${types}[\\d.]+) `, "gm"))].map(([, name = ""]) => name)
  return latest === undefined ? [] : [latest, ...all.filter((name) => name !== latest)]
}

/**
 * What it prints; empty if it fails, takes too long, or is no program at all, which is thrown before there is a
 * promise. Throws OVM_HOST_FAILED where this process may start none just now: that says nothing of this one.
 */
async function answerOf({ path }: Binary, args: readonly string[]): Promise<string> {
  try {
    return (await promisify(execFile)(path, args, { timeout: ANSWER_MS })).stdout
  } catch (thrown) {
    const { code, message } = toOvmError(thrown)
    if (code === "OVM_HOST_FAILED") throw new OvmError(code, `${path} could not be started: ${message}`)
    return ""
  }
}

function missing(reason: string): OvmError {
  return new OvmError("OVM_VMM_MISSING", `QEMU cannot be used: ${reason}`, {
    hint: "apt-get install qemu-system-x86",
  })
}
