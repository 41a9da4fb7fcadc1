import { link, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { must, skip } from "../../check.ts"
import { pathsBelow } from "../../subject/below.ts"
import { aside } from "./aside.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"

const SIZE = 1 << 20

/** Gives one runtime the very files of the other's volume, by hard links. */
async function share(first: Scene, second: Scene, volume: string): Promise<void> {
  const [from, to] = [harnessOf(first.runtime).home, harnessOf(second.runtime).home]
  let shared = 0
  for (const path of await pathsBelow(to)) {
    if (!path.includes(volume)) continue
    const file = await stat(join(to, path))
    if (!file.isFile() || file.size < SIZE) continue
    await rm(join(to, path))
    await link(join(from, path), join(to, path))
    shared++
  }
  if (shared === 0) skip("the runtime keeps no volume as a file of its size with its name in the path")
}

export const volumeElsewherePlans: readonly Plan[] = [
  {
    name: "volume-of-another-runtime",
    covers: ["OVMS-VOL-010"],
    run: (scene) =>
      aside(scene, (first) =>
        aside(scene, async (second) => {
          const name = "suite-of-two-runtimes"
          for (const { runtime } of [first, second])
            await runtime.ask("POST /volumes", "", { body: { name, size: SIZE } })
          await share(first, second, name)
          const overrides = { volumes: [{ name }] }
          await first.boot("", overrides)
          const { runtime } = second
          const reply = await runtime.raw("POST", "/start", { body: { manifest: runtime.guest, overrides } })
          const answer = JSON.parse(reply.text)
          const error =
            reply.status >= 400
              ? answer.errors[0]
              : (await runtime.reaches(answer.instance_id, "failed")).error
          must(
            error?.code === "OVM_VOLUME_IN_USE",
            `a volume that is in use elsewhere ended it with ${error?.code}`,
          )
          must(error.message.includes(name), `the volume is not named: ${error.message}`)
        }),
      ),
  },
]
