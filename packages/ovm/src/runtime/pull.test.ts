import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type FaultyRegistry, refusal, startFaults } from "@ovms/testkit/faults.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { openRepository } from "@ovms/testkit/repository.ts"
import { until } from "@ovms/testkit/until.ts"
import { copy } from "../content/copy.ts"
import { openLayout } from "../content/layout/store.ts"
import { parseReference } from "../registry/reference.ts"
import type { InstanceInfo, Phase } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// Starts of what is not on this host: a real store, QEMU and guest, and a real registry that is made to wait or to
// refuse.

const PHASES: readonly Phase[] = ["resolving", "pulling", "verifying", "preparing", "launching"]
const note = guestMissing || (registryMissing ? "(skipped: there is no registry)" : "")

describe.skipIf(note !== "")(`starts that pull ${note}`, () => {
  let root: string
  let upstream: RegistryServer
  let registry: FaultyRegistry
  let runtime: LocalRuntime

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-pull-"))
    upstream = await startRegistry()
    registry = startFaults(() => undefined, upstream.host)
    runtime = await openRuntime(root)
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await registry[Symbol.asyncDispose]()
    await upstream.stop()
    await rm(root, { recursive: true })
  })

  /** Makes `name` stand for a machine of these arguments in the registry. */
  async function publish(name: string, args: string): Promise<string> {
    await packGuest(join(root, "elsewhere"), name, args)
    await using store = await openLayout(join(root, "elsewhere"))
    const reference = parseReference(name)
    return (await copy(store, name, openRepository(reference), { name: reference.tag })).digest
  }

  async function console(id: string): Promise<string> {
    return Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  }

  /** What the status says while it starts, and in the end. */
  async function watch(
    id: string,
    phases: Phase[],
    enough: () => boolean = () => false,
  ): Promise<InstanceInfo> {
    const look = async () => {
      const info = await runtime.status(id)
      if (info.phase && info.phase !== phases.at(-1)) phases.push(info.phase)
      return info
    }
    const is = ({ state }: InstanceInfo) => state !== "starting" || enough()
    return until("it has started", look, { is, everyMs: 1 })
  }

  // OVMS-API-023, OVMS-API-027, OVMS-STA-007
  test("the answer comes first, and what the name stood for is started, whatever becomes of the name", async () => {
    const name = `${registry.host}/tests/guest:1`
    const digest = await publish(name, "tick_ms=20 first=1")
    const { promise: gate, resolve } = Promise.withResolvers<undefined>()
    let held = false
    registry.fault = ({ request, url }) => {
      if (request.method !== "GET" || !url.pathname.includes("/blobs/")) return undefined
      held = true
      return gate
    }
    const { instance_id, status } = await runtime.start({ manifest: name })
    expect(status).toBe("starting")
    const phases: Phase[] = []
    expect((await watch(instance_id, phases, () => held)).phase).toBe("pulling")
    expect(await publish(name, "tick_ms=20 second=1")).not.toBe(digest)
    resolve(undefined)
    expect(await watch(instance_id, phases)).toMatchObject({ state: "running", image: { digest } })
    const ticking = await until("a tick", () => console(instance_id), { is: (text) => text.includes("TICK") })
    expect(ticking).toContain("CMDLINE [tick_ms=20 first=1]")
    expect(phases).toContain("pulling")
    expect(phases).toEqual(PHASES.filter((phase) => phases.includes(phase)))
  })

  // OVMS-API-023
  test("trouble after the answer is the error of the instance", async () => {
    const name = `${registry.host}/tests/guest:2`
    await publish(name, "tick_ms=20 third=1")
    registry.fault = ({ request, url }) =>
      request.method === "GET" && url.pathname.includes("/blobs/") ? refusal(403, "DENIED") : undefined
    const { instance_id, status } = await runtime.start({ manifest: name })
    expect(status).toBe("starting")
    const info = await watch(instance_id, [])
    expect(info).toMatchObject({ state: "failed", error: { code: "OVM_REGISTRY_DENIED" } })
    expect(info.phase).toBeUndefined()
  })
})
