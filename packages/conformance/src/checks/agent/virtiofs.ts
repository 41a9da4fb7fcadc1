import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { must, skip } from "../../check.ts"
import type { Plan } from "../runtime/plan.ts"
import { allBut, LINE, later, opened, withAgent } from "./stage.ts"

const EXEC = "POST /instances/{instance_id}/exec"
/** EXIT of what an agent cannot do (OVMS-AGT-021). */
const REFUSED = 2

export const virtiofsPlans: readonly Plan[] = [
  {
    name: "agent/share-by-virtiofs",
    profile: "agent",
    covers: ["OVMS-AGT-131"],
    async run(scene) {
      const { runtime, start, folder } = scene
      const source = join(folder, "shared")
      await mkdir(source)
      const shares = [{ source, target: "/srv/one", readOnly: true }]
      const manifest = await scene.machine({ document: { devices: [{ type: "serial", name: "way" }] } })
      const id = await start({ manifest, overrides: { args: LINE, shares } })
      await runtime.says(id, /GUEST-READY[^\n]*\n/)
      await withAgent(scene, id, allBut("mount"), async (stage) => {
        const answer = later(runtime.ask(EXEC, id, { body: { command: ["true"] } }))
        const first = await opened(stage, "mount")
        if (!first.words.includes("virtiofs")) skip("the runtime offers no share by virtiofs on this host")
        stage.agent.exit(first.stream, 0, REFUSED, "a word that it does not know")
        const second = await opened(stage, "mount", 2)
        must(
          !second.words.includes("virtiofs") && second.words.includes("path=/srv/one"),
          `it is asked for ${second.words.join(" ")}`,
        )
        stage.agent.exit(second.stream)
        await answer
      })
    },
  },
]
