// How fast ovm moves a gigabyte from and to a registry, beside oras, crane, regctl and skopeo, each with an OCI layout
// as the other end, over TLS and then without. `make bench-registry`;
// bench/registry.ts [--rounds N] [--registry docker-registry|distribution] [--only one|many] [--wire tls|plain].
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type Certificates, makeCertificates } from "@ovms/testkit/certificates.ts"
import { startPipe } from "@ovms/testkit/pipe.ts"
import { type RegistryProgram, type RegistryServer, startRegistry } from "@ovms/testkit/registry.ts"
import { OVM, output, peer } from "./programs.ts"
import { makeArtifact } from "./registry-artifact.ts"
import { measure, print, run } from "./registry-measure.ts"
import { type Tool, tools, type Wire } from "./registry-tools.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    registry: { type: "string", default: "docker-registry" },
    only: { type: "string" },
    wire: { type: "string" },
    breaks: { type: "string", default: "5" },
  },
})
const ROUNDS = Number(options.rounds)
const ARTIFACTS = [
  {
    name: "one",
    what: "1 GiB in one blob",
    count: 1,
    mib: 1024,
    pull: { goal: 1.5, floor: 1.2, synced: 1.1 },
    push: { goal: 1.2, floor: 1.0, synced: 1.0 },
  },
  {
    name: "many",
    what: "100 blobs of 10 MiB",
    count: 100,
    mib: 10,
    pull: { goal: 1.5, floor: 1.2, synced: 1.1 },
    push: { goal: 1.5, floor: 1.2, synced: 1.1 },
  },
].filter(({ name }) => options.only === undefined || options.only === name)

/** Pulls through a wire that counts, killed `breaks` times at random points. */
async function broken(folder: string, registry: RegistryServer, breaks: number): Promise<void> {
  const size = 1024 * 1024 * 1024
  await using pipe = await startPipe(registry.host)
  const env = { ...process.env, OVM_HOME: join(folder, "broken") }
  const reference = `${pipe.host}/bench/one:v1`
  const points = Array.from({ length: breaks }, () => Math.random() * size * 0.95).sort((a, b) => a - b)
  let kills = 0
  for (const point of [...points, Number.POSITIVE_INFINITY]) {
    const child = Bun.spawn([OVM, "pull", reference], { stdio: ["ignore", "ignore", "inherit"], env })
    const timer = setInterval(() => {
      if (pipe.down < point) return
      child.kill("SIGKILL")
      clearInterval(timer)
      kills++
    }, 1)
    const status = await child.exited
    clearInterval(timer)
    if (point === Number.POSITIVE_INFINITY && status !== 0) throw new Error("the last pull failed")
  }
  const times = pipe.down / size
  const verdict = times <= 1.1 ? "holds" : "MISSED"
  console.log(
    `\npull of 1 GiB killed ${kills} times: ${times.toFixed(3)} times the bytes (bound 1.1: ${verdict})`,
  )
}

/** crane pulls 1 GiB from our registry and from CNCF's. */
async function served(folder: string): Promise<void> {
  const source = join(folder, "source")
  makeArtifact(source, 1, 1024)
  const [crane] = tools().filter(({ name }) => name === "crane")
  if (!crane) return console.log("crane is not on this machine: what the registries serve is not measured")
  await using ours = await startOurs(join(folder, "served"))
  await using theirs = await startRegistry({ program: "distribution" })
  const both = [
    { name: "ovm", host: ours.host },
    { name: "distribution", host: theirs.host },
  ]
  for (const { host } of both)
    output([peer("oras"), "copy", "--from-oci-layout", `${source}:v1`, "--to-plain-http", `${host}/bench:v1`])
  await rm(source, { recursive: true })
  const to = join(folder, "crane")
  const runs = await measure(both, ROUNDS, async ({ host }) => {
    await rm(to, { recursive: true, force: true })
    return run(crane.pull(`${host}/bench:v1`, to, { name: "plain" }), crane.environment(to))
  })
  print("crane pulls 1 GiB from", { goal: 1.0, floor: 0.8, synced: 0.8 }, runs)
  await rm(to, { recursive: true })
}

async function startOurs(root: string) {
  const args = ["registry", "serve", "--address", "127.0.0.1:0", "--root", root]
  const child = Bun.spawn([OVM, ...args], { stdio: ["ignore", "pipe", "inherit"] })
  const reader = child.stdout.getReader()
  const { value } = await reader.read()
  const host = /127\.0\.0\.1:\d+/.exec(new TextDecoder().decode(value))?.[0]
  if (host === undefined) throw new Error("ovm registry serve does not say where it listens")
  const stop = async () => {
    child.kill()
    await child.exited
  }
  return { host, [Symbol.asyncDispose]: stop }
}

/** TLS by `certificates` first, since that is how registries are spoken to; what was not asked for is left out. */
function wires({ ca, server }: Certificates): Wire[] {
  const all = [{ name: "tls", tls: { ...server, ca } }, { name: "plain" }]
  return all.filter(({ name }) => options.wire === undefined || options.wire === name)
}

/** All artifacts from and to an empty registry of `program` over `wire`; `folder` is empty before and after. */
async function moved(folder: string, program: RegistryProgram, wire: Wire): Promise<void> {
  const over = wire.tls ? "over TLS" : "over plain HTTP"
  const start = () => startRegistry({ program, ...(wire.tls && { tls: wire.tls }) })
  await using registry = await start()
  const all = tools()
  for (const { name, what, count, mib, pull, push } of ARTIFACTS) {
    const source = join(folder, "source")
    makeArtifact(source, count, mib)
    const reference = `${registry.host}/bench/${name}:v1`
    const secure = wire.tls ? "--to-ca-file" : "--to-plain-http"
    const trust = wire.tls ? [secure, wire.tls.ca] : [secure]
    output([peer("oras"), "copy", "--from-oci-layout", `${source}:v1`, ...trust, reference])
    await rm(source, { recursive: true })
    const place = (tool: Tool) => join(folder, tool.name)
    const environment = (tool: Tool) => ({
      ...tool.environment(place(tool)),
      ...(wire.tls && { SSL_CERT_FILE: wire.tls.ca }),
    })
    const pulls = await measure(all, ROUNDS, async (tool) => {
      await rm(place(tool), { recursive: true, force: true })
      return run(tool.pull(reference, place(tool), wire), environment(tool))
    })
    print(`pull ${over}, ${what}`, pull, pulls)
    const pushes = await measure(all, ROUNDS, async (tool) => {
      // An empty one each time: some programs remember where a blob is and mount it from there.
      await using empty = await start()
      const to = `${empty.host}/bench/${name}:v1`
      const env = environment(tool)
      const before = tool.prepare?.(place(tool), reference, to)
      if (before) output(before, { ...process.env, ...env })
      return await run(tool.push(place(tool), reference, to, wire), env)
    })
    print(`push ${over}, ${what}`, push, pushes)
    for (const entry of await readdir(folder)) await rm(join(folder, entry), { recursive: true })
    if (name === "one" && !wire.tls) {
      await broken(folder, registry, Number(options.breaks))
      await served(folder)
    }
  }
}

const program = options.registry as RegistryProgram
const folder = await mkdtemp(join(tmpdir(), "ovm-bench-registry-"))
try {
  await using certificates = await makeCertificates()
  console.log(
    `${options.registry}, one process; ${tools()
      .map(({ name }) => name)
      .join(", ")}`,
  )
  await mkdir(join(folder, "docker"))
  await mkdir(join(folder, "work"))
  process.env.DOCKER_CONFIG = join(folder, "docker")
  for (const wire of wires(certificates)) await moved(join(folder, "work"), program, wire)
} finally {
  await rm(folder, { recursive: true, force: true })
}
