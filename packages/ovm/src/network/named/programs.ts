import { spawn } from "node:child_process"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { isProgram } from "../../host/program.ts"

/** Where administrators' programs are: the PATH of others often lacks it. */
const FOLDERS = [...(process.env.PATH ?? "/usr/bin:/bin").split(":"), "/usr/sbin", "/sbin"]
/** What any of them may take, in ms: they change something in the kernel, and end. */
const PATIENCE_MS = 10_000
/** Of what one says, in bytes. */
const MOST_WORDS = 1 << 20

/** What a network takes, and the Debian package that brings it. */
const PACKAGES = { ip: "iproute2", bridge: "iproute2", nft: "nftables", dnsmasq: "dnsmasq-base" } as const

export type Program = keyof typeof PACKAGES

/** Every program of a network that this host lacks, and the Debian packages that bring them. */
export function missingPrograms(): { readonly missing: readonly Program[]; readonly packages: string } {
  const missing = (Object.keys(PACKAGES) as Program[]).filter((name) => find(name) === undefined)
  return { missing, packages: [...new Set(missing.map((name) => PACKAGES[name]))].join(" ") }
}

/** Throws OVM_UNSUPPORTED naming what is missing, and what brings it. */
export function assertPrograms(): void {
  const { missing, packages } = missingPrograms()
  if (missing.length === 0) return
  throw new OvmError(
    "OVM_UNSUPPORTED",
    `a network takes programs that this host lacks: ${missing.join(", ")} (Debian: apt install ${packages})`,
    { detail: missing.map((name) => ({ pointer: "network", reason: `${name} is not installed` })) },
  )
}

/** Its path. Throws OVM_UNSUPPORTED if there is none. */
export function pathOf(name: Program): string {
  const path = find(name)
  if (path !== undefined) return path
  throw new OvmError("OVM_UNSUPPORTED", `${name} is not installed (Debian: apt install ${PACKAGES[name]})`)
}

function find(name: Program): string | undefined {
  return FOLDERS.map((folder) => join(folder, name)).find(isProgram)
}

/** What it writes, once it has succeeded. Throws OVM_HOST_FAILED with its own words. */
export function runProgram(name: Program, args: readonly string[], input = ""): Promise<string> {
  const path = pathOf(name)
  return new Promise((resolve, reject) => {
    const child = spawn(path, [...args], { stdio: "pipe", env: { LC_ALL: "C" }, timeout: PATIENCE_MS })
    const said = { out: "", err: "" }
    const note = (to: keyof typeof said) => (bytes: Buffer) => {
      said[to] = (said[to] + bytes.toString()).slice(0, MOST_WORDS)
    }
    child.stdout.on("data", note("out"))
    child.stderr.on("data", note("err"))
    const fail = (how: string, cause?: unknown) =>
      reject(new OvmError("OVM_HOST_FAILED", `${name} ${args.join(" ")}: ${how}`.trim(), { cause }))
    child.on("error", (cause) => fail(cause.message, cause))
    child.on("close", (code, signal) =>
      code === 0 ? resolve(said.out) : fail(said.err.trim() || `ended with ${signal ?? `status ${code}`}`),
    )
    child.stdin.on("error", () => {})
    child.stdin.end(input)
  })
}
