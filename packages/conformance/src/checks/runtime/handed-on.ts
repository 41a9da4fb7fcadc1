import { mkdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { must } from "../../check.ts"
import type { Plan } from "./plan.ts"

/** What would make another file, were it a command, and what would be options. */
const odd = (file: string) =>
  `-S -monitor none,file=/etc/passwd 'a' "b" $(touch ${file}) ;touch ${file}; %s \\ &`

export const handedOnPlans: readonly Plan[] = [
  {
    name: "texts-that-are-no-options",
    covers: ["OVMS-SEC-020"],
    async run({ runtime, start, boot, folder }) {
      const file = join(folder, "made")
      const args = odd(file)
      const text = await runtime.says(await boot(args), /CMDLINE \[[^\n]*\]\r?\n/)
      must(text.includes(args), `the guest has other arguments: ${/CMDLINE [^\n]*/.exec(text)?.[0]}`)
      const disk = Buffer.alloc(1024)
      disk.write("the disk of the suite")
      const changes = { disk, diskless: false, document: {} }
      const place = join(folder, `,if=none,id=x readonly=off $(touch made) 'a' "b"`)
      await mkdir(place)
      const layout = await writeLayout(join(place, "layout"), guestArtifact(undefined, changes))
      const id = await start({ manifest: layout, overrides: { args: "console=ttyS0 tick_ms=50 read=0" } })
      const said = await runtime.says(id, /SECTOR 0 [^\n]*\n/)
      must(said.includes("the disk of the suite"), "the guest of a folder with an odd name has another disk")
      must(!(await stat(file).catch(() => undefined)), "a text of a start was run as a command")
    },
  },
]
