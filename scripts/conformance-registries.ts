// Holds the embedded registry, and those of others that are there (make peers), against the conformance suite; ends
// with 1 if one of them cannot carry OVMS. Words are the names of those that are meant alone, and have to be there.
// `--write`: the table of docs/conformance/registries.md, of all.
import { spawn } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import type { Run } from "../packages/conformance/src/result.ts"
import { findPeer, type RegistryProgram, startRegistry } from "../packages/testkit/src/registry.ts"

const ROOT = join(import.meta.dirname, "..")
const PEERS: Readonly<Record<RegistryProgram, string>> = {
  distribution: "CNCF distribution",
  "docker-registry": "Debian's docker-registry",
  "ggcr-registry": "go-containerregistry",
}
const NAMES = ["ovm", ...Object.keys(PEERS)]

const { values: options, positionals: chosen } = parseArgs({
  options: { write: { type: "boolean", default: false } },
  allowPositionals: true,
})
const unknown = chosen.find((name) => !NAMES.includes(name))
if (unknown !== undefined) give(`${unknown}: there are ${NAMES.join(", ")}`)
if (options.write && chosen.length > 0) give("the table is written of all registries")
const meant = (name: string) => chosen.length === 0 || chosen.includes(name)

function give(reason: string): never {
  process.stderr.write(`error: ${reason}\n`)
  process.exit(2)
}

async function output(command: readonly string[]): Promise<string> {
  const [program = "", ...args] = command
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] })
  return Buffer.concat(await Array.fromAsync(child.stdout)).toString()
}

/** `registry` is one of NAMES, `name` what the report calls it. */
async function tested(registry: string, name: string, host: string): Promise<Run> {
  const suite = join(ROOT, "packages/conformance/dist/ovms-conformance.js")
  const report = join(ROOT, ".cache/conformance/registries", registry)
  const words = ["registry", `http://${host}`, "--name", name, "--report", report, "--json"]
  return JSON.parse(await output(["node", suite, ...words]))
}

async function embedded(): Promise<Run> {
  const home = await mkdtemp(join(tmpdir(), "ovms-registries-"))
  const ovm = join(ROOT, "dist/ovm")
  const words = ["registry", "serve", "--address", "127.0.0.1:0", "--root", join(home, "root")]
  const serving = spawn(ovm, words, {
    env: { ...process.env, OVM_HOME: home },
    stdio: ["ignore", "pipe", "inherit"],
  })
  try {
    let host: string | undefined
    for await (const text of serving.stdout) {
      host = /127\.0\.0\.1:\d+/.exec(String(text))?.[0]
      if (host) break
    }
    if (!host) throw new Error("ovm registry serve did not say where")
    return await tested("ovm", (await output([ovm, "--version"])).trim(), host)
  } finally {
    serving.kill("SIGTERM")
    await rm(home, { recursive: true, force: true })
  }
}

/** As peers.list has it. */
async function versionOf(peer: string): Promise<string> {
  const list = await readFile(join(ROOT, "scripts/peers.list"), "utf8")
  return new RegExp(`^${peer} +(\\S+)`, "m").exec(list)?.[1]?.replace("debian", "") ?? ""
}

const runs = meant("ovm") ? [await embedded()] : []
for (const [program, name] of Object.entries(PEERS) as [RegistryProgram, string][]) {
  if (!meant(program)) continue
  if (!findPeer(program)) {
    if (chosen.length > 0) give(`${program} is not there: make peers`)
    process.stderr.write(`${program} is not there: make peers\n`)
    continue
  }
  await using registry = await startRegistry({ program })
  runs.push(await tested(program, `${name} ${await versionOf(program)}`.trim(), registry.host))
}

const cells = (words: readonly string[]) => `| ${words.join(" | ")} |`
const [first] = runs
const rows = (first?.results ?? []).map(({ name }) => {
  const found = runs.map(({ results }) => results.find((one) => one.name === name))
  return cells([
    `\`${name}\``,
    ...found.map((one) => (one?.verdict === "pass" ? "yes" : `${one?.verdict}: ${one?.reason}`)),
  ])
})
const table = [
  "# Registries that carry OVMS",
  "",
  `Written by \`PUBLISH=1 make conformance\` on ${first?.started.slice(0, 10)}, with suite ${first?.suite} for OVMS ${first?.specification}. A skip says what is done where a registry does without; that costs time or room, and never correctness ([distribution.md](../../spec/distribution.md#what-registries-do)).`,
  "",
  cells(["", ...runs.map(({ subject }) => subject)]),
  cells(["---", ...runs.map(() => "---")]),
  ...rows,
  "",
].join("\n")
process.stdout.write(table)
if (options.write) await writeFile(join(ROOT, "docs/conformance/registries.md"), table)
process.exitCode = runs.some(({ results }) =>
  results.some(({ verdict }) => verdict === "fail" || verdict === "error"),
)
  ? 1
  : 0
