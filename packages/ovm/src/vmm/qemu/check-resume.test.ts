import { describe, expect, test } from "bun:test"
import type { ResumePlan, SnapshotOrigin } from "../plan.ts"
import { checkResume } from "./check-resume.ts"
import { modelOf } from "./model.ts"

const found = { accelerator: "tcg", accelerators: ["tcg"], machineType: "pc-q35-7.2" }
const launch = {
  ...{ id: "one", directory: "/d", consoleLimit: 1024, devices: [] },
  resources: { vcpus: 2, memory: 64 << 20 },
  disk: { layers: [{ path: "/b", format: "raw" as const }], size: 1 << 20, writable: true },
}
const origin: SnapshotOrigin = {
  ...{ vmm: "qemu", version: "7.2.22", accelerator: "tcg", diskSize: 1 << 20, state: "/s" },
  ram: { path: "/r" },
  model: modelOf(launch, found),
}
const plan: ResumePlan = { ...launch, origin }

describe("what QEMU's adapter asks of a resume, once the models fit", () => {
  test("nothing, of one without anything to boot, with a disk or without", () => {
    expect(checkResume(plan, found)).toEqual([])
    const { disk, ...bare } = plan
    const { diskSize, ...none } = origin
    expect(checkResume({ ...bare, origin: none }, found)).toEqual([])
  })

  // OVMS-SNP-132
  test("what a guest still boots is checked as it is of one that boots", () => {
    const kernel = { path: "/k", args: "a\nb" }
    expect(checkResume({ ...plan, kernel }, found)).toMatchObject([{ pointer: "/kernel/args" }])
    expect(checkResume({ ...plan, kernel: { path: "/k", args: "" } }, found)).toEqual([])
  })

  const wrong: [string, Partial<ResumePlan>][] = [
    ["/accelerator", { accelerator: "kvm" }],
    ["/disk", { disk: { ...launch.disk, layers: [] } }],
    ["/disk", { origin: { ...origin, diskSize: undefined } as unknown as SnapshotOrigin }],
    ["/ram", { origin: { ...origin, ram: { socket: "/served" } } }],
  ]
  for (const [pointer, change] of wrong)
    test(`${pointer}: ${JSON.stringify(change).slice(0, 40)}`, () => {
      const findings = checkResume({ ...plan, ...change }, found)
      expect(findings).toEqual([{ pointer, severity: "fatal", reason: expect.any(String) }])
    })

  test("one with a TPM goes on from no snapshot, whoever made it [OVMS-UEF-034]", () => {
    const findings = checkResume({ ...plan, tpm: { state: "/t" } }, found)
    expect(findings.map(({ reason }) => reason)).toContain("a machine with a TPM goes on from no snapshot")
  })

  test("all findings are told at once", () => {
    const resources = { vcpus: 0, memory: 1 }
    const findings = checkResume({ ...plan, resources, disk: { ...launch.disk, layers: [] } }, found)
    expect(findings.map(({ pointer }) => pointer)).toEqual(["/resources/vcpus", "/resources/memory", "/disk"])
  })
})
