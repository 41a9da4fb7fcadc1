import { must } from "../../check.ts"
import { needs } from "../../subject/vmms.ts"
import { unique } from "../unique.ts"
import type { Plan } from "./plan.ts"
import { snapshotPlan } from "./snapshots.ts"

// Devices of network and entropy as the suite's guest finds them.

const LINE = "console=ttyS0 tick_ms=50"

/** What the guest has said of its link, oldest first. */
export function linksOf(text: string): { mac: string; up: boolean }[] {
  const said = [...text.matchAll(/NIC ([0-9a-f:]{17}) (up|down)\r?\n/g)]
  return said.map(([, mac = "", state]) => ({ mac, up: state === "up" }))
}

export const linkPlans: readonly Plan[] = [
  {
    name: "entropy",
    covers: ["OVMS-DEV-001"],
    async run({ runtime, machine, start }) {
      const devices = [{ type: "rng", name: "entropy" }]
      const manifest = await machine({ document: { devices } })
      const said = async () => {
        const id = await start({ manifest, overrides: { args: `${LINE} rng=1` } })
        return /RNG ([0-9a-f]{32})\r?\n/.exec(await runtime.says(id, /RNG [^\n]*\n/))?.[1]
      }
      const [first, second] = [await said(), await said()]
      must(first && second, "the guest finds no entropy device that gives it bytes")
      must(first !== second && !/^(..)\1*$/.test(first), `two machines have got ${first} and ${second}`)
    },
  },
  snapshotPlan("link", ["OVMS-SNP-160", "OVMS-SNP-161"], async ({ runtime, boot, start }) => {
    await needs(runtime, "linkDown")
    const source = await boot("net=1", { network: { mode: "user" } })
    const [before] = linksOf(await runtime.says(source, /NIC [^\n]*\n/))
    const { network } = await runtime.status(source)
    must(before?.mac === network?.mac && before?.up, `the guest has the interface ${JSON.stringify(before)}`)
    await runtime.says(source, /TICK 2\r?\n/)
    const tag = unique()
    await runtime.ask("POST /snapshot", "", { body: { instance_id: source, tag } })
    const clone = await start({ manifest: `localhost/conformance:${tag}` })
    const after = linksOf(await runtime.says(clone, /NIC [0-9a-f:]* up\r?\n/))
    must(
      after.map(({ up }) => up).join() === "false,true",
      `the link was ${after.map(({ up }) => (up ? "up" : "down")).join(", ")} when the guest went on`,
    )
    const own = (await runtime.status(clone)).network
    must(own?.mac === before.mac, `it shows the MAC address ${own?.mac}, and its guest knows ${before.mac}`)
    const without = await boot("net=1", { network: { mode: "none" } })
    await runtime.says(without, /NIC none\r?\n/)
    const other = unique()
    await runtime.ask("POST /snapshot", "", { body: { instance_id: without, tag: other } })
    const bare = await start({ manifest: `localhost/conformance:${other}` })
    await runtime.reaches(bare, "running")
    const { mode } = (await runtime.status(bare)).network ?? {}
    must(mode === "none", `a machine whose snapshot has no interface has one of mode ${mode}`)
  }),
]
