import { join } from "node:path"
import { guestArtifact } from "../artifact/guest.ts"
import { writeLayout } from "../artifact/layout.ts"
import { type Check, must } from "../check.ts"
import { codes } from "../errors.ts"
import type { Wrapper } from "../subject/wrapper.ts"

/** What the guest does in the end, and how a command line ends that waited for it. */
interface End {
  readonly args: string
  readonly status: number
  readonly code?: string
}

const ended = (args: string, code: string): End => ({ args, code, status: codes[code]?.exit ?? 0 })

function waits(name: string, covers: readonly string[], ends: readonly End[]): Check<Wrapper> {
  return {
    name: `run/${name}`,
    profile: "core",
    covers,
    async run(wrapper, call) {
      const layout = await writeLayout(join(call.folder, "machine"), guestArtifact())
      for (const { args, status, code } of ends) {
        const line = `console=ttyS0 tick_ms=20 ticks=2 ${args}`
        const run = await wrapper.ended("run", [layout, line], call)
        const said = run.stderr.trim().slice(0, 300)
        must(
          run.status === status,
          `"${args}": it ended with status ${run.status}, and not ${status}: ${said}`,
        )
        must(code === undefined || run.stderr.includes(code), `"${args}": it does not say ${code}: ${said}`)
      }
    },
  }
}

export const waitChecks: readonly Check<Wrapper>[] = [
  waits(
    "ends-that-nobody-asked-for",
    ["OVMS-STA-032"],
    [ended("", "OVM_GUEST_RESET"), ended("panic=1", "OVM_GUEST_PANICKED")],
  ),
  waits(
    "results",
    ["OVMS-STA-048"],
    [
      { args: "result=3", status: 3 },
      { args: "off=1", status: 0 },
    ],
  ),
]
