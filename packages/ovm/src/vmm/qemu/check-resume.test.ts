import { describe, expect, test } from "bun:test"
import type { Capabilities, Origin, ResumePlan } from "../interfaces.ts"
import { checkResume } from "./check-resume.ts"
import { modelOf } from "./model.ts"

const found: Capabilities = {
  ...{ name: "qemu", version: "7.2.22", binary: "/q", accelerator: "tcg", acceleratorReason: "" },
  machineTypes: { latest: "pc-q35-7.2", all: ["pc-q35-7.2", "pc-q35-7.1"] },
}
const launch = {
  ...{ id: "one", directory: "/d", consoleLimit: 1024, devices: [] },
  resources: { vcpus: 2, memory: 64 << 20 },
  disk: { layers: [{ path: "/b", format: "raw" as const }], overlay: "/o" },
}
const origin: Origin = {
  ...{ vmm: "qemu", version: "7.2.22", accelerator: "tcg", diskSize: 1 << 20, ram: "/r", state: "/s" },
  model: modelOf(launch, found),
}
const plan: ResumePlan = { ...launch, origin }
const model = (change: Partial<Origin["model"]>) => ({
  origin: { ...origin, model: { ...origin.model, ...change } },
})

describe("a snapshot and this host", () => {
  test("fit, without anything to boot, and with an older machine type", () => {
    expect(checkResume(plan, found)).toEqual([])
    expect(checkResume({ ...plan, ...model({ machineType: "pc-q35-7.1" }) }, found)).toEqual([])
    const { disk, ...bare } = plan
    const { diskSize, ...none } = origin
    const without = { ...none, model: modelOf(bare, found) }
    expect(checkResume({ ...bare, origin: without }, found)).toEqual([])
  })

  // OVMS-SNP-132
  test("what a guest still boots is checked as it is of one that boots", () => {
    const kernel = { path: "/k", args: "a\nb" }
    expect(checkResume({ ...plan, kernel }, found)).toMatchObject([{ pointer: "/kernel/args" }])
    expect(checkResume({ ...plan, kernel: { path: "/k", args: "" } }, found)).toEqual([])
  })

  const wrong: [string, Partial<ResumePlan>, Partial<Capabilities>?][] = [
    ["/vmm/name", { origin: { ...origin, vmm: "firecracker" } }],
    ["/vmm/version", {}, { version: "7.2.21" }],
    ["/vmm/accelerator", { origin: { ...origin, accelerator: "kvm" } }],
    ["/vmm/format", model({ format: "qemu-split-2" })],
    ["/vmm/cpuModel", model({ cpu: "qemu64" })],
    ["/vmm/machine", model({ machineType: "pc-q35-10.0" })],
    ["/resources/vcpus", { resources: { vcpus: 1, memory: 64 << 20 } }],
    ["/resources/memory", { resources: { vcpus: 2, memory: 32 << 20 } }],
    ["/devices", model({ devices: ["isa-serial"] })],
    ["/disk", { disk: { layers: [], overlay: "/o" } }],
    ["/disk", { origin: { ...origin, diskSize: undefined } as unknown as Origin }],
  ]
  for (const [pointer, change, here] of wrong)
    test(`differ in ${pointer}: ${JSON.stringify(change).slice(0, 40)}`, () => {
      const findings = checkResume({ ...plan, ...change }, { ...found, ...here })
      expect(findings).toEqual([{ pointer, severity: "fatal", reason: expect.any(String) }])
    })

  test("all that differs is told at once, with both values", () => {
    const findings = checkResume({ ...plan, resources: { vcpus: 1, memory: 32 << 20 } }, found)
    expect(findings.map(({ pointer }) => pointer)).toEqual(["/resources/vcpus", "/resources/memory"])
    expect(findings[0]?.reason).toBe("the snapshot has 2, this would be 1")
  })

  test("a QEMU that names no machine types resumes nothing", () => {
    const { machineTypes, ...nameless } = found
    expect(checkResume(plan, nameless).map(({ pointer }) => pointer)).toEqual(["/vmm/machine"])
  })
})
