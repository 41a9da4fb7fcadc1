// How fast ovm moves a gigabyte from and to a registry, beside oras, crane, regctl and skopeo, each with an OCI layout as the
// other end. `make bench-registry`; bench/registry.ts [--rounds N] [--registry docker-registry|distribution] [--only one|many].
import { readFileSync } from "node:fs"
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { startPipe } from "../packages/testkit/src/pipe.ts"
import { type RegistryProgram, type RegistryServer, startRegistry } from "../packages/testkit/src/registry.ts"
import { OVM, output, peer } from "./programs.ts"
import { makeArtifact } from "./registry-artifact.ts"
import { type Tool, tools } from "./registry-tools.ts"
import { median } from "./turns.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    registry: { type: "string", default: "docker-registry" },
    only: { type: "string" },
    breaks: { type: "string", default: "5" },
  },
})
const ROUNDS = Number(options.rounds)
const ARTIFACTS = [
  { name: "one", what: "1 GiB in one blob", count: 1, mib: 1024, goal: { pull: 1.5, push: 1.2 } },
  { name: "many", what: "100 blobs of 10 MiB", count: 100, mib: 10, goal: { pull: 1.5, push: 1.5 } },
].filter(({ name }) => options.only === undefined || options.only === name)

interface Run {
  /** Milliseconds of the command alone, and with a `sync` after it. */
  readonly ms: number
  readonly synced: number
  /** Peak of resident memory, MiB. */
  readonly memory: number
}

async function run(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Run> {
  // What others have left to write is not charged to this one.
  output(["sync"])
  const began = performance.now()
  const child = Bun.spawn([...argv], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  })
  let memory = 0
  const looking = setInterval(() => {
    memory = Math.max(memory, peakOf(child.pid))
  }, 20)
  const words = await new Response(child.stderr).text()
  const status = await child.exited
  const ms = performance.now() - began
  clearInterval(looking)
  if (status !== 0) throw new Error(`${argv.join(" ")}: exit status ${status}\n${words}`)
  output(["sync"])
  return { ms, synced: performance.now() - began, memory }
}

/** Peak of a process's resident memory in MiB, asked while it runs: the rusage of a child has its parent's in it. */
function peakOf(pid: number): number {
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    return Number(kib ?? 0) / 1024
  } catch {
    return 0
  }
}

/** Each tool in turn, ROUNDS times, after one round that is not counted. */
async function measure(all: readonly Tool[], once: (tool: Tool, round: number) => Promise<Run>) {
  const runs = new Map<Tool, Run[]>(all.map((tool) => [tool, []]))
  for (let round = 0; round <= ROUNDS; round++)
    for (const [tool, list] of runs) {
      const result = await once(tool, round)
      if (round > 0) list.push(result)
    }
  return runs
}

function print(what: string, goal: number, runs: ReadonlyMap<Tool, readonly Run[]>): void {
  console.log(`\n${what} (medians of ${ROUNDS}; goal: the fastest peer takes ${goal} times as long)`)
  const rows = [...runs].map(([tool, list]) => ({
    name: tool.name,
    ms: median(list.map(({ ms }) => ms)),
    synced: median(list.map(({ synced }) => synced)),
    memory: Math.max(...list.map(({ memory }) => memory)),
  }))
  const [ours, ...theirs] = rows
  if (!ours) return
  const ratio = (a: number, b: number) => `${(a / b).toFixed(2)}x`.padStart(7)
  console.log(
    `${"".padEnd(8)}${"seconds".padStart(9)}${"/ ovm".padStart(8)}${"with sync".padStart(12)}${"/ ovm".padStart(8)}${"peak MiB".padStart(11)}`,
  )
  for (const { name, ms, synced, memory } of rows)
    console.log(
      `${name.padEnd(8)}${(ms / 1000).toFixed(2).padStart(9)} ${ratio(ms, ours.ms)}${(synced / 1000).toFixed(2).padStart(12)} ${ratio(synced, ours.synced)}${memory.toFixed(0).padStart(11)}`,
    )
  const best = Math.min(...theirs.map(({ ms }) => ms)) / ours.ms
  const bestSynced = Math.min(...theirs.map(({ synced }) => synced)) / ours.synced
  console.log(
    `fastest peer / ovm: ${best.toFixed(2)} (goal ${goal}: ${best >= goal ? "holds" : "MISSED"}), with sync ${bestSynced.toFixed(2)}`,
  )
}

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

const program = options.registry as RegistryProgram
const folder = await mkdtemp(join(tmpdir(), "ovm-bench-registry-"))
try {
  await using registry = await startRegistry({ program })
  const all = tools()
  console.log(`${options.registry}, one process; ${all.map(({ name }) => name).join(", ")}`)
  await mkdir(join(folder, "docker"))
  process.env.DOCKER_CONFIG = join(folder, "docker")
  for (const { name, what, count, mib, goal } of ARTIFACTS) {
    const source = join(folder, "source")
    makeArtifact(source, count, mib)
    const reference = `${registry.host}/bench/${name}:v1`
    output([peer("oras"), "copy", "--from-oci-layout", `${source}:v1`, "--to-plain-http", reference])
    await rm(source, { recursive: true })
    const place = (tool: Tool) => join(folder, tool.name)
    const pulls = await measure(all, async (tool) => {
      await rm(place(tool), { recursive: true, force: true })
      return run(tool.pull(reference, place(tool)), tool.environment(place(tool)))
    })
    print(`pull, ${what}`, goal.pull, pulls)
    const pushes = await measure(all, async (tool) => {
      // An empty one each time: some programs remember where a blob is and mount it from there.
      await using empty = await startRegistry({ program })
      const to = `${empty.host}/bench/${name}:v1`
      const env = tool.environment(place(tool))
      const before = tool.prepare?.(place(tool), reference, to)
      if (before) output(before, { ...process.env, ...env })
      return await run(tool.push(place(tool), reference, to), env)
    })
    print(`push, ${what}`, goal.push, pushes)
    for (const entry of await readdir(folder))
      if (entry !== "docker") await rm(join(folder, entry), { recursive: true })
    if (name === "one") await broken(folder, registry, Number(options.breaks))
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}
