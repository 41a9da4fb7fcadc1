import { expect, test } from "bun:test"
import type { NetworkLink } from "../../network/link.ts"
import type { LaunchPlan, NetworkPlan } from "../plan.ts"
import { AGENT_DEVICE } from "./agent.ts"
import type { Qmp } from "./qmp.ts"
import { resumedNetwork } from "./resumed-network.ts"

const DEVICE = "virtio-net-pci,mac=5a:3c:0f:91:7e:02"
const user: NetworkPlan = { mode: "user", mac: "5a:3c:0f:91:7e:02", forwards: [], outbound: true }
const forwards = [{ protocol: "tcp", address: "127.0.0.1", host: 8080, guest: 80 }] as const

/** What is done to it, and when, in ms from the start. */
function recorder() {
  const began = performance.now()
  const done: [string, number][] = []
  const note = async (what: string) => void done.push([what, performance.now() - began])
  const execute = (command: string, { up }: { readonly up?: boolean } = {}) => note(`${command} ${up}`)
  const qmp = { execute } as unknown as Qmp
  const link = { start: () => note("passt") } as unknown as NetworkLink
  return { done, qmp, link }
}

// OVMS-SNP-093, OVMS-SNP-161
test("a guest that goes on has its passt and its link 50 ms later, and says who it is", async () => {
  const { done, qmp, link } = recorder()
  const network = resumedNetwork({ network: { ...user, forwards } } as unknown as LaunchPlan, {
    devices: [DEVICE],
  })
  expect(network?.ports).toBe(true)
  await network?.connect(qmp, link)
  expect(done.map(([what]) => what)).toEqual(["passt", "set_link true", "announce-self undefined"])
  expect(done[0]?.[1]).toBeGreaterThanOrEqual(49)
})

// OVMS-SNP-170
test("one with the way to an agent has its passt at once, and its link when the agent has done its part", async () => {
  const { done, qmp, link } = recorder()
  const devices = [DEVICE, AGENT_DEVICE]
  const network = resumedNetwork({ network: user } as unknown as LaunchPlan, { devices })
  expect(network?.ports).toBe(false)
  await network?.connect(qmp, link)
  expect(done.map(([what]) => what)).toEqual(["passt"])
})

test("a guest without an interface has no network, and one that is to have none no link", async () => {
  expect(resumedNetwork({ network: user } as unknown as LaunchPlan, { devices: ["vmgenid"] })).toBeUndefined()
  const { done, qmp, link } = recorder()
  await resumedNetwork({ network: { ...user, mode: "none" } } as unknown as LaunchPlan, {
    devices: [DEVICE],
  })?.connect(qmp, link)
  await Bun.sleep(100)
  expect(done).toEqual([])
})
