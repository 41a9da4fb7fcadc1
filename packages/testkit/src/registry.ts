import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

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
 * Starts Debian's docker-registry, or the one that `program` names, on a free loopback port over an empty folder. `htpasswd`
 * (bcrypt lines) turns basic authentication on; ggcr's has none.
 */
export async function startRegistry(
  options: { htpasswd?: string; program?: RegistryProgram } = {},
): Promise<RegistryServer> {
  const name = options.program ?? "docker-registry"
  const program = findPeer(name)
  if (!program) throw new Error(`${name} is neither in the peers' cache nor on PATH (make peers)`)
  const root = await mkdtemp(join(tmpdir(), "ovm-registry-"))
  const host = `127.0.0.1:${await freePort()}`
  const config = join(root, "config.yml")
  await writeFile(config, await configuration(root, host, options.htpasswd))
  const args = name === "ggcr-registry" ? [host] : ["serve", config]
  const child = spawn(program, args, { stdio: "ignore" })
  const stop = async () => {
    await kill(child)
    await rm(root, { recursive: true, force: true })
  }
  try {
    await answering(`http://${host}/v2/`, child)
  } catch (error) {
    await stop()
    throw error
  }
  return { host, root, stop, [Symbol.asyncDispose]: stop }
}

async function configuration(root: string, host: string, htpasswd: string | undefined): Promise<string> {
  const lines = [
    "version: 0.1",
    "log: {level: error}",
    `storage: {filesystem: {rootdirectory: ${root}/data}, delete: {enabled: true}}`,
    `http: {addr: "${host}"}`,
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

async function answering(url: string, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with status ${child.exitCode}`)
    const answer = await fetch(url).catch(() => undefined)
    if (answer) return
    await Bun.sleep(20)
  }
  throw new Error(`${child.spawnfile} did not answer`)
}

function kill(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGKILL")
  })
}
