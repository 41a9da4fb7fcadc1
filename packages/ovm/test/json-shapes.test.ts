import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Command } from "commander"
import { parse } from "yaml"
import { COMMANDS } from "../src/cli/commands.ts"
import { startRegistry } from "../src/registry-server/run.ts"
import { type CommandOptions, Sandbox } from "./sandbox.ts"
import { SPEC } from "./vectors.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// Every command that has --json, run for real, prints what docs/json.schema.json says and nothing beside it.

type Members = Readonly<Record<string, unknown>>

const FILE = join(import.meta.dir, "../../../docs/json.schema.json")
const SCHEMA = JSON.parse(readFileSync(FILE, "utf8")) as Members & { readonly commands: Members }
const API = parse(readFileSync(join(SPEC, "api/openapi.yaml"), "utf8")) as Members

/** The API's answers are open, for later versions; this one has no other members than it says. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== "object" || schema === null) return schema
  const members = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  return isShape(members) && !("additionalProperties" in members)
    ? { ...members, additionalProperties: false }
    : members
}

/** A schema of an object that says which members it has. */
function isShape(schema: Members): schema is Members & { readonly properties: Members } {
  return typeof schema.properties === "object" && schema.properties !== null && schema.type === "object"
}

/** All schemas of objects in `schema`. */
function shapesIn(schema: unknown): Members[] {
  if (typeof schema !== "object" || schema === null) return []
  const below = Object.values(schema).flatMap(shapesIn)
  return isShape(schema as Members) ? [schema as Members, ...below] : below
}

const ajv = new Ajv2020({ strict: false })
ajv.addSchema({ $id: "ovms:/spec/api/openapi.yaml", components: closed(API.components) })
ajv.addSchema({ ...SCHEMA, $id: "ovms:/docs/json.schema.json" })

/** What is wrong with `value` as what `part` of the schema describes. */
function faults(part: string, value: unknown) {
  const validate = ajv.compile({ $ref: `ovms:/docs/json.schema.json#/${encodeURI(part)}` })
  return validate(value) ? [] : validate.errors
}

/** Every command that takes --json, by the words that name it. */
async function takingJson(): Promise<string[]> {
  const found: string[] = []
  for (const { name, hidden, load } of COMMANDS) {
    if (hidden) continue
    const command = new Command(name)
    ;(await load()).define(command, COMMANDS)
    for (const one of [command, ...command.commands])
      if (one.options.some(({ long }) => long === "--json"))
        found.push(one === command ? name : `${name} ${one.name()}`)
  }
  return found.sort()
}

test("the schema has every command that takes --json, and no other", async () => {
  expect(Object.keys(SCHEMA.commands).sort()).toEqual(await takingJson())
})

test("its objects are closed, and their members are called in snake_case", () => {
  const shapes = shapesIn(SCHEMA)
  expect(shapes.length).toBeGreaterThan(50)
  for (const shape of shapes) {
    expect(shape.additionalProperties).toBe(false)
    for (const name of Object.keys(shape.properties as Members)) expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/)
  }
})

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/json-shapes.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("run for real", () => {
  let box: Sandbox
  let registry: Awaited<ReturnType<typeof startRegistry>>
  const seen = new Set<string>()
  const PASSWORD = { env: { COSIGN_PASSWORD: "secret" } }

  beforeAll(async () => {
    box = await Sandbox.create()
    const source = { root: box.path("registry"), readOnly: false }
    registry = await startRegistry({ hostname: "127.0.0.1", port: 0, source, log: () => {} })
    await packGuest(join(box.home, "store"), "guest:1", "button=1 tick_ms=50 hlt=1", {
      runtimeHints: { preferredRuntime: ["qemu"], coldStartTargetMs: 1000, resume: false },
    })
    const devices = [{ type: "ivshmem", name: "shared", size: 4096, required: false }]
    await packGuest(join(box.home, "store"), "shared:1", "off=1", { devices })
    await box.file("disk.raw", Buffer.alloc(4096, 1))
  })
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]()
    await box?.[Symbol.asyncDispose]()
  })

  /** Runs a command, whose words come first, and holds what it prints against its shape. */
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects
  async function shaped(name: string, args: readonly string[] = [], options?: CommandOptions): Promise<any> {
    const { stdout, stderr } = await box.ovm([...name.split(" "), ...args, "--json"], options)
    const value = JSON.parse(stdout || "null")
    expect({ name, stderr, value, faults: faults(`commands/${name}`, value) }).toMatchObject({ faults: [] })
    seen.add(name)
    return value
  }

  test("keys, images and registries", async () => {
    await shaped("version")
    await shaped("info")
    await shaped("doctor")
    expect(await shaped("vmm ls")).toMatchObject({ vmms: [{ name: "qemu", powers: expect.anything() }, {}] })
    expect(await shaped("vmm test", ["qemu"])).toMatchObject({ passed: true })
    await shaped("key generate", [], PASSWORD)
    await shaped("key public", ["--key", "cosign.key"], PASSWORD)
    await shaped("pack", ["--layer", "disk.raw", "-t", "disk:1", "--provenance"])
    await shaped(
      "pack",
      ["--layer", "disk.raw", "-t", "disk:2", "--provenance", "--key", "cosign.key"],
      PASSWORD,
    )
    const name = `${registry.address}/machines/disk:1`
    await shaped("tag", ["disk:1", name])
    await shaped("push", [name])
    expect(await shaped("pull", [name])).toMatchObject({ up_to_date: true })
    await shaped("copy", [name, "disk:3"])
    await shaped("save", ["-o", "disk.tar", "disk:1", "disk:2"])
    expect(await shaped("load", ["-i", "disk.tar"])).toHaveLength(2)
    await shaped("import", ["disk.raw", "-t", "disk:4"])
    // Nothing in it needs a machine.
    await box.file("Dockerfile", "FROM disk:1\nLABEL a=b")
    await shaped("build", ["-t", "disk:5", "."])
    await shaped("export", ["disk:4", "--format", "vhdx", "-o", "disk.vhdx"])
    const { hints, layers } = await shaped("inspect", ["guest:1"])
    expect(hints).toMatchObject({ preferred_runtime: ["qemu"], cold_start_target_ms: 1000 })
    expect(layers).toEqual([])
    expect((await shaped("inspect", ["shared:1"])).devices).toHaveLength(1)
    expect((await shaped("inspect", ["disk:1"])).layers).toMatchObject([{ virtual_size: 4096 }])
    await shaped("index create", ["disk:all", "disk:1"])
    await shaped("index add", ["disk:all", "disk:1"])
    await shaped("index inspect", ["disk:all"])
    await shaped("diff", ["disk:1", "guest:1"])
    await shaped("validate", ["guest:1"])
    await box.file("bad.json", { nmae: "x", kernel: {} })
    expect((await shaped("validate", ["bad.json"])).faults.length).toBeGreaterThan(1)
    expect((await shaped("validate", ["--as", "policy", "bad.json"])).faults[0].document).toBe("policy")
    await box.file("name", "localhost:5000/a")
    expect((await shaped("validate", ["--as", "reference", "name"])).found).toMatchObject({ tag: "latest" })
    const policy = { schemaVersion: 1, default: { requirements: [{ type: "digestOnly" }] } }
    await box.file("question.json", {
      policy: Buffer.from(JSON.stringify(policy)).toString("base64"),
      now: "2026-11-28T12:00:00Z",
      reference: "localhost:5000/a",
      machine: { digest: `sha256:${"a".repeat(64)}`, platform: "linux/amd64" },
    })
    expect((await shaped("validate", ["--as", "decision", "question.json"])).found).toEqual({
      scope: "default",
    })
    await shaped("registry probe", [`${registry.address}/scratch/probe`])
    const child = box.begin(["registry", "serve", "--address", "127.0.0.1:0", "--store", "--json"])
    const [line] = await Promise.race([once(child.stdout ?? child, "data"), once(child, "exit")])
    child.kill("SIGTERM")
    expect(faults("commands/registry serve", JSON.parse(`${line}`))).toEqual([])
    seen.add("registry serve")
  })

  test("signatures, attestations and policies", async () => {
    const image = "store:guest:1"
    await shaped("sign", ["--key", "cosign.key", image], PASSWORD)
    await shaped(
      "sign",
      ["--key", "cosign.key", "--legacy", "--reference", "example.com/guest", image],
      PASSWORD,
    )
    const bom = await shaped("sbom", ["-o", "bom.json", "guest:1"])
    expect(bom.output).toBe("bom.json")
    await shaped("sbom", ["--attach", "--key", "cosign.key", image], PASSWORD)
    const said = ["--type", "cyclonedx", "--predicate", "bom.json"]
    await shaped("attest", [...said, "--key", "cosign.key", image], PASSWORD)
    const verified = await shaped("verify", ["--key", "cosign.pub", "--all", image])
    expect(verified.verdicts.length).toBeGreaterThan(1)
    const attested = await shaped("verify", ["--key", "cosign.pub", "--type", "cyclonedx", image])
    expect(attested.verdicts[0].predicate).toMatchObject({ bomFormat: "CycloneDX" })
    const graph = await shaped("discover", ["--key", "cosign.pub", image])
    expect(graph.signatures.length + graph.sboms.length).toBeGreaterThan(2)
    await shaped("policy check", ["guest:1"])
    const requirements = [{ type: "signed", keys: [{ path: box.path("cosign.pub") }] }]
    const file = join(box.home, "policy.json")
    await writeFile(
      file,
      JSON.stringify({ schemaVersion: 1, default: { requirements }, local: { requirements } }),
    )
    const { rules } = await shaped("policy check", ["guest:1"])
    expect(rules[0].evidence).toContainEqual(
      expect.objectContaining({ counts: true, key_id: expect.any(String) }),
    )
    expect((await shaped("policy validate")).valid).toBe(true)
    await rm(file)
    await box.file("bad-policy.json", { schemaVersion: 1, default: [] })
    expect((await shaped("policy validate", ["bad-policy.json"])).faults).not.toEqual([])
  })

  test("machines and snapshots", async () => {
    await shaped("daemon", ["--detach"])
    const limits = { running: 8, warmMemory: 1 << 30 }
    await writeFile(
      join(box.home, "daemon.json"),
      JSON.stringify({ limits, defaults: { vcpus: 2 }, vmms: ["qemu"] }),
    )
    expect((await shaped("info")).settings.limits).toMatchObject({ running: 8, warm_memory: 1 << 30 })
    expect((await shaped("run", ["--explain", "guest:1"])).vmms).toMatchObject([{ chosen: true }])
    const { instance_id } = await shaped("run", ["--detach", "--name", "web", "--publish", "80", "guest:1"])
    expect((await shaped("port", ["web"])).ports).toMatchObject([{ protocol: "tcp", guest: 80 }])
    await shaped("create", ["--name", "resting", "--publish", "80", "guest:1"])
    const added = await shaped("port add", ["resting", "81"])
    expect(await shaped("port rm", ["resting", String(added.host)])).toEqual(added)
    await box.ok(["rm", "resting"])
    await shaped("start", ["--name", "other", "guest:1"])
    await shaped("pause", ["web"])
    expect((await shaped("status", ["web"])).reason).toBe("request")
    expect((await shaped("stats", ["web"])).instances).toMatchObject([
      { name: "web", cpu_percent: expect.any(Number) },
    ])
    expect((await shaped("top", ["web"])).instances).toMatchObject([{ name: "web" }])
    await shaped("resume", ["web"])
    const { snapshot_ref } = await shaped("snapshot", ["web", "--tag", "warm", "--scrub-report"])
    expect(await shaped("inspect", ["guest:warm"])).toMatchObject({ digest: snapshot_ref })
    expect((await shaped("discover", ["store:guest:warm"])).base).toBeDefined()
    await shaped("images")
    await shaped("volume create", ["data", "--size", "1MiB"])
    await shaped("volume create", ["other", "--size", "1MiB"])
    await shaped("volume ls")
    await shaped("volume inspect", ["data"])
    await shaped("volume rm", ["data"])
    expect((await shaped("volume prune")).removed).toHaveLength(1)
    await shaped("network ls")
    await shaped("network prune")
    await shaped("warm", ["guest:warm"])
    await until("the slot is ready", () => shaped("info"), { is: ({ warm }) => warm[0]?.ready === 1 })
    await shaped("run", ["--detach", "--name", "clone", "guest:warm"])
    await shaped("warm", ["guest:warm", "--slots", "0"])
    expect((await shaped("status", ["clone"])).snapshot).toBe(snapshot_ref)
    const forked = await shaped("fork", ["web", "-n", "2", "--name", "job"])
    expect(forked.instances).toMatchObject([{ name: "job-0" }, { name: "job-1" }])
    expect((await shaped("status", ["job-1"])).fork).toEqual({ source: instance_id, index: 1 })
    await box.ok(["rm", "--force", "job-0", "job-1"])
    expect((await shaped("stop", ["web"])).instance_id).toBe(instance_id)
    await shaped("start", ["web"])
    await shaped("restart", ["web"])
    const one = "one: { image: guest:1, network: none, volumes: [data] }"
    await box.file("machines.yaml", `machines: { ${one} }\nvolumes: { data: { size: 1MiB } }\n`)
    expect((await shaped("up", ["-d", "-p", "shop"])).machines).toHaveLength(1)
    expect((await shaped("compose ps", ["-p", "shop"])).instances).toHaveLength(1)
    expect((await shaped("down", ["-p", "shop", "--volumes"])).volumes).toEqual(["shop_data"])
    await shaped("create", ["--name", "new", "guest:1"])
    await shaped("rename", ["new", "newer"])
    expect((await shaped("wait", ["newer"])).status).toBe("stopped")
    await shaped("rm", ["newer"])
    await shaped("create", ["--name", "disky", "disk:1"])
    expect((await shaped("commit", ["disky", "--tag", "disk:4"])).reference).toBe("disk:4")
    await shaped("rm", ["disky"])
    await shaped("stop", ["clone", "--time", "0"])
    expect((await shaped("ps", ["--all"])).instances).toHaveLength(3)
    await shaped("stop", ["web"])
    await shaped("rm", ["web"])
    const events = (await box.ok(["events", "--json"])).trimEnd().split("\n")
    expect(events.flatMap((line) => faults("commands/events", JSON.parse(line)))).toEqual([])
    expect(JSON.parse(events.at(-1) ?? "").type).toBe("removed")
    seen.add("events")
    await shaped("rmi", ["disk:3"])
    await shaped("prune", ["--dry-run"])
    const df = await shaped("system df")
    expect(df.images.items.length + df.snapshots.items.length).toBeGreaterThan(1)
    await shaped("prune", ["--all"])
    await shaped("daemon", ["--stop"])
  })

  test("and errors are one line of one shape", async () => {
    for (const args of [["inspect", "nothing"], ["validate", "bad.json"], ["stop", "nobody"], ["nonsense"]]) {
      const { stderr } = await box.ovm([...args, "--json"])
      expect(faults("errors", JSON.parse(stderr))).toEqual([])
    }
  })

  test("all of them", async () => {
    // Its result is of a host with systemd: service.test.ts.
    seen.add("install-service")
    // Of a guest with an agent: sandboxes.test.ts.
    seen.add("sandbox run")
    // Of a host whose network may be changed: networks.test.ts.
    for (const name of ["create", "inspect", "rm"]) seen.add(`network ${name}`)
    expect([...seen].sort()).toEqual(await takingJson())
  })
})
