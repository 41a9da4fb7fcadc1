import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { writeLayout } from "../artifact/layout.ts"
import { artifactOf } from "../artifact/make.ts"
import { type Check, must } from "../check.ts"
import type { Wrapper } from "../subject/wrapper.ts"

/** What a terminal takes for orders: a title, a colour in one byte, a bell, a step back, and one that is deleted. */
const ORDERS = ["\u001b]0;suite\u0007", "\u009b31m", "\u0007", "\b", "\u007f"]
const NAME = `suite${ORDERS.join("-")}-end`

export const terminalChecks: readonly Check<Wrapper>[] = [
  {
    name: "terminal/control-characters",
    profile: "core",
    covers: ["OVMS-SEC-021"],
    async run(wrapper, call) {
      const file = join(call.folder, "manifest.json")
      const { manifest } = artifactOf()
      await writeFile(file, JSON.stringify({ ...JSON.parse(manifest.toString()), [NAME]: 1 }))
      const layout = (name: string, changes: object) =>
        writeLayout(join(call.folder, name), artifactOf({ oci: changes }))
      const title = { "org.opencontainers.image.title": NAME }
      for (const words of [
        ["validate", "manifest", file],
        ["inspect", await layout("named", { annotations: title })],
        ["inspect", await layout("typed", { artifactType: NAME })],
        ["inspect", join(call.folder, NAME.replaceAll("/", ""))],
      ] as const) {
        const [verb, ...args] = words
        const said = await wrapper.onTerminal(verb, args, call)
        for (const order of ORDERS)
          must(!said.includes(order), `${verb} ${args[0]?.slice(-8)} has ${JSON.stringify(order)} printed`)
      }
    },
  },
]
