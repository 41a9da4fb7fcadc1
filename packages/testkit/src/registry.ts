import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { until } from "./until.ts"

const PEERS = process.env.OVM_PEERS ?? fileURLToPath(new URL("../../../.cache/peers", import.meta.url))

export interface RegistryServer extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string
  /** Where it keeps its content. */
  readonly root: string
  stop(): Promise<void>
}

/** Debian's, CNCF's distribution 3, and ggcr's with the referrers API. */
export type RegistryProgram = "docker-registry" | "distribution" | "ggcr-registry"

/** A peer's program, or undefined if this machine has none. */
export function findPeer(name: string): string | undefined {
  const path = [join(PEERS, "bin"), ...(process.env.PATH ?? "").split(":")]
  return path.map((folder) => join(folder, name)).find(existsSync)
}

/** Debian's docker-registry, or undefined if this machine has none. */
export function findRegistry(): string | undefined {
  return findPeer("docker-registry")
}

/** Why tests against a real registry are skipped here; undefined if they are not. */
export const registryMissing = findRegistry()
  ? undefined
  : "docker-registry is neither in the peers' cache nor on PATH (make peers)"

if (registryMissing) console.warn(`skipped: tests against a real registry: ${registryMissing}`)

/**
 * Starts Debian's docker-registry, or the one that `program` names, on a free loopback port over an empty folder.
 * `htpasswd` (bcrypt lines) turns basic authentication on; ggcr's has none.
 */
export async function startRegistry(
  options: {
    htpasswd?: string
    program?: RegistryProgram
    /** Paths; ggcr's has none. */
    tls?: { readonly cert: string; readonly key: string }
  } = {},
): Promise<RegistryServer> {
  const name = options.program ?? "docker-registry"
  const program = findPeer(name)
  if (!program) throw new Error(`${name} is neither in the peers' cache nor on PATH (make peers)`)
  for (;;) {
    const root = await mkdtemp(join(tmpdir(), "ovm-registry-"))
    const port = await freePort()
    const host = `127.0.0.1:${port}`
    const config = join(root, "config.yml")
    await writeFile(config, await configuration(root, host, options))
    const args = name === "ggcr-registry" ? [host] : ["serve", config]
    const child = spawn(program, args, { stdio: "ignore" })
    const stop = async () => {
      await kill(child)
      await rm(root, { recursive: true, force: true })
    }
    // A port that was free a moment ago may be somebody else's now, who would answer in its place.
    const state = await until(`${name} listens on ${host}`, () => stateOf(child, port)).catch(
      async (error) => {
        await stop()
        throw error
      },
    )
    if (state === "listening") return { host, root, stop, [Symbol.asyncDispose]: stop }
    await stop()
    if (!isTaken(port)) throw new Error(`${name} ended with status ${child.exitCode}`)
  }
}

function stateOf(child: ChildProcess, port: number): "listening" | "ended" | undefined {
  if (child.exitCode !== null) return "ended"
  const sockets = new Set(listeningOn(port).map((inode) => `socket:[${inode}]`))
  const folder = `/proc/${child.pid}/fd`
  const fds = sockets.size > 0 && existsSync(folder) ? readdirSync(folder) : []
  return fds.some((fd) => sockets.has(linkOf(join(folder, fd)))) ? "listening" : undefined
}

function isTaken(port: number): boolean {
  return listeningOn(port).length > 0
}

/** Inodes of the sockets that listen on a port of 127.0.0.1 (proc(5), net/tcp). */
function listeningOn(port: number): string[] {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n")
  const fields = rows.map((row) => row.trim().split(/\s+/))
  return fields.flatMap((row) => (row[1] === address && row[3] === "0A" ? [row[9] ?? ""] : []))
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return "" // Closed meanwhile.
  }
}

async function configuration(
  root: string,
  host: string,
  { htpasswd, tls }: { htpasswd?: string; tls?: { readonly cert: string; readonly key: string } },
): Promise<string> {
  const lines = [
    "version: 0.1",
    "log: {level: error}",
    `storage: {filesystem: {rootdirectory: ${root}/data}, delete: {enabled: true}}`,
    `http: {addr: "${host}"${tls ? `, tls: {certificate: "${tls.cert}", key: "${tls.key}"}` : ""}}`,
  ]
  if (htpasswd !== undefined) {
    await writeFile(join(root, "htpasswd"), htpasswd)
    lines.push(`auth: {htpasswd: {realm: test, path: ${root}/htpasswd}}`)
  }
  return `${lines.join("\n")}\n`
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0))
    })
  })
}

function kill(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGKILL")
  })
}
