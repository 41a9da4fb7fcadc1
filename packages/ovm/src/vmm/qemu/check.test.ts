import { expect, test } from "bun:test"
import type { DevicePlan, LaunchPlan } from "../plan.ts"
import { checkPlan } from "./check.ts"

const plan: LaunchPlan = {
  id: "one",
  directory: "/instances/one",
  resources: { vcpus: 1, memory: 64 << 20 },
  kernel: { path: "/kernel", args: "console=ttyS0" },
  devices: [],
  consoleLimit: 1024,
}
const HERE = { accelerators: ["tcg"] }
const found = (change: Partial<LaunchPlan>) =>
  checkPlan({ ...plan, ...change }, HERE).map(({ pointer, severity }) => `${severity} ${pointer}`)
const device = (change: Partial<DevicePlan>): Partial<LaunchPlan> => ({
  devices: [{ type: "ivshmem", name: "shared", size: 1 << 20, required: true, ...change }],
})

test("a plain plan has no findings", () => {
  expect(checkPlan(plan, HERE)).toEqual([])
  expect(found(device({}))).toEqual([])
})

const further = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ name: `d${at}`, layers: [], size: 512, overlay: `/d${at}` }))
const volumes = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ path: `/v${at}`, serial: `v${at}`, readOnly: false }))
const resources = (vcpus: number, memory: number) => ({ resources: { vcpus, memory } })
const cases: [string, Partial<LaunchPlan>, string[]][] = [
  ["an accelerator that is not here", { accelerator: "kvm" }, ["fatal /accelerator"]],
  ["one that is", { accelerator: "tcg" }, []],
  ["no vCPU", resources(0, 64 << 20), ["fatal /resources/vcpus"]],
  ["half a vCPU", resources(1.5, 64 << 20), ["fatal /resources/vcpus"]],
  ["too many vCPUs", resources(256, 64 << 20), ["fatal /resources/vcpus"]],
  ["too little memory", resources(1, 1 << 20), ["fatal /resources/memory"]],
  ["too much memory", resources(1, 2 ** 41), ["fatal /resources/memory"]],
  ["odd memory", resources(1, (64 << 20) + 1), ["fatal /resources/memory"]],
  ["not a number", resources(Number.NaN, Number.NaN), ["fatal /resources/vcpus", "fatal /resources/memory"]],
  ["NUL in the arguments", { kernel: { path: "/k", args: "a\0b" } }, ["fatal /kernel/args"]],
  ["a newline in the arguments", { kernel: { path: "/k", args: "a\nb" } }, ["fatal /kernel/args"]],
  ["long arguments", { kernel: { path: "/k", args: "é".repeat(1024) } }, ["fatal /kernel/args"]],
  ["an unknown device", device({ type: "gpu" }), ["fatal /devices/0/type"]],
  ["an unknown optional device", device({ type: "gpu", required: false }), ["degraded /devices/0/type"]],
  ["a source of entropy", { devices: [{ type: "rng", name: "entropy", required: true }] }, []],
  [
    "one device too many for its slots",
    { disks: further(30), devices: [{ type: "rng", name: "entropy", required: true }] },
    ["fatal /disks"],
  ],
  ["an address", device({ mmioAddr: "0x10000000" }), ["degraded /devices/0/mmio_addr"]],
  [
    "an address of a source of entropy",
    device({ type: "rng", mmioAddr: "0x1" }),
    ["degraded /devices/0/mmio_addr"],
  ],
  ["as many disks as there are slots", { disks: further(30) }, []],
  ["one disk too many", { disks: further(31) }, ["fatal /disks"]],
  ["one volume too many", { disks: further(28), volumes: volumes(3) }, ["fatal volumes"]],
  ["a volume with too many disks", { disks: further(31), volumes: volumes(1) }, ["fatal /disks"]],
  ["a size that no BAR has", device({ size: 3 << 20 }), ["fatal /devices/0/size"]],
  ["a tiny size, optional", device({ size: 2048, required: false }), ["degraded /devices/0/size"]],
]
for (const [name, change, findings] of cases) test(name, () => expect(found(change)).toEqual(findings))

test("nothing to boot from, an initrd without a kernel, a device without a size", () => {
  const { kernel: _, ...bare } = plan
  const devices = [{ type: "ivshmem", name: "shared", required: true }]
  const pointers = checkPlan({ ...bare, initrd: { path: "/i" }, devices }, HERE).map(({ pointer }) => pointer)
  expect(pointers).toEqual(["/kernel", "/initrd", "/devices/0/size"])
})
