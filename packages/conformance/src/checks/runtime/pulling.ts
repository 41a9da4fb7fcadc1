import { guestArtifact } from "../../artifact/guest.ts"
import { kernelOf, store } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import { Registry } from "../../registry/server.ts"
import { apart } from "./aside.ts"
import { eventsOf } from "./events.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"

const PHASES = ["resolving", "pulling", "verifying", "preparing", "launching"]

/** A registry of the check's own, gone afterwards. */
async function withRegistry(use: (registry: Registry) => Promise<void>): Promise<void> {
  const registry = await Registry.start()
  try {
    await use(registry)
  } finally {
    await registry.close()
  }
}

/** A start of a machine whose kernel is never sent: its ID, once it pulls. */
async function pulling({ runtime, start }: Scene, registry: Registry): Promise<string> {
  const artifact = store(registry.repository, guestArtifact(Buffer.from(registry.host)), "1")
  registry.manners.fault = (request, _, path) =>
    request.method === "GET" && path.endsWith(digestOf(artifact.kernel))
  const id = await start({ manifest: registry.reference("1") })
  await runtime.until("it pulls", async () => {
    const { state, phase } = await runtime.status(id)
    must(state === "starting", `a machine whose content is not there yet is ${state}`)
    return phase === "pulling"
  })
  return id
}

export const pullingPlans: readonly Plan[] = [
  {
    name: "phases-of-a-start",
    covers: ["OVMS-STA-007", "OVMS-API-023"],
    run: ({ runtime, start }) =>
      withRegistry(async (registry) => {
        const artifact = store(registry.repository, guestArtifact(Buffer.from(registry.host)), "1")
        let holds = true
        registry.manners.fault = (request, _, path) =>
          holds && request.method === "GET" && path.endsWith(digestOf(artifact.kernel))
        const id = await start({ manifest: registry.reference("1") })
        const seen: string[] = []
        await runtime.until("it runs", async () => {
          const { state, phase } = await runtime.status(id)
          if (phase !== undefined && phase !== seen.at(-1)) seen.push(phase)
          if (phase === "pulling") {
            // What is never answered is asked for again once the connection has gone.
            holds = false
            registry.drop()
          }
          return state === "running"
        })
        must(seen.includes("pulling"), `of what is pulled the phases are ${seen.join(", ") || "none"}`)
        const places = seen.map((phase) => PHASES.indexOf(phase))
        must(
          places.every((place, at) => place >= 0 && place > (places[at - 1] ?? -1)),
          `the phases are ${seen.join(", ")}`,
        )
      }),
  },
  {
    name: "pulled-and-booted",
    covers: ["OVMS-API-023", "OVMS-API-027", "OVMS-API-061"],
    run: ({ runtime, start }) =>
      withRegistry(async (registry) => {
        const { repository, manners } = registry
        const first = store(repository, guestArtifact(Buffer.from(registry.host)), "1")
        const second = store(repository, guestArtifact(Buffer.from(`${registry.host}!`)))
        // Whoever asks for the tag a second time gets another machine.
        let asked = 0
        manners.fault = (_, __, path) => {
          if (path.endsWith("/manifests/1") && asked++ > 0) repository.tags.set("1", second.digest)
          return false
        }
        const id = await start({ manifest: registry.reference("1") })
        await runtime.says(id, /GUEST-READY/)
        const { image, phase } = await runtime.status(id)
        must(
          image.digest === first.digest,
          `the image is ${image.digest}, and the tag stood for ${first.digest}`,
        )
        must(phase === undefined, `phase is ${phase} although it runs`)
      }),
  },
  {
    name: "pull-fails",
    covers: ["OVMS-API-023", "OVMS-API-063", "OVMS-STA-040"],
    run: ({ runtime, start }) =>
      withRegistry(async (registry) => {
        const artifact = store(registry.repository, guestArtifact(Buffer.from(registry.host)), "1")
        registry.repository.blobs.set(digestOf(artifact.kernel), kernelOf(3))
        const overrides = { restart: "always" }
        const id = await start({ manifest: registry.reference("1"), overrides })
        const { error, restarting_at } = await runtime.reaches(id, "failed")
        must(restarting_at === undefined, "what could not be started is going to be started again by itself")
        must(/^OVM_(DIGEST|SIZE)_MISMATCH$/.test(error?.code ?? ""), `its error is ${error?.code}`)
      }),
  },
  {
    name: "stop-of-the-starting",
    covers: ["OVMS-API-044", "OVMS-API-045", "OVMS-STA-003"],
    run: (scene) =>
      withRegistry(async (registry) => {
        const id = await pulling(scene, registry)
        await scene.runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
        const { stop_method } = await scene.runtime.reaches(id, "stopped")
        must(stop_method === "cancelled", `a start was given up, and stop_method is ${stop_method}`)
        const types = (await eventsOf(scene.runtime, id)).map(({ type }) => type).join()
        must(types === "starting,stopping,stopped", `its events are ${types}`)
      }),
  },
  apart({
    name: "killed-while-it-pulls",
    covers: ["OVMS-STA-014"],
    run: (scene) =>
      withRegistry(async (registry) => {
        const harness = harnessOf(scene.runtime)
        const id = await pulling(scene, registry)
        await harness.kill()
        await harness.start(scene.signal)
        const { error } = await scene.runtime.reaches(id, "failed")
        must(error?.code === "OVM_START_INTERRUPTED", `its error is ${error?.code}`)
      }),
  }),
]
