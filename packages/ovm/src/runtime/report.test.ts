import { expect, test } from "bun:test"
import { OvmError } from "../errors.ts"
import type { Capabilities, Vmm } from "../vmm/vmm.ts"
import { describe } from "./report.ts"

const FOUND: Capabilities = {
  ...{ name: "x", version: "1", binary: "/x", accelerator: "kvm", acceleratorReason: "it works" },
  accelerators: ["kvm"],
}

const about = (capabilities: () => Promise<Capabilities>) =>
  describe({ name: "x", capabilities } as unknown as Vmm)

test("whether machines of a VMM are jailed is said with the reason, and nothing of one that knows no jails [OVMS-API-516]", async () => {
  const jailed = (active: boolean, reason: string) =>
    about(async () => ({ ...FOUND, jailed: { active, reason } }))
  expect(await jailed(true, "by /jailer")).toMatchObject({ jailed: true, jailed_reason: "by /jailer" })
  expect(await jailed(false, "no root")).toMatchObject({ jailed: false, jailed_reason: "no root" })
  expect(await about(async () => FOUND)).not.toHaveProperty("jailed")
  const missing = async () => {
    throw new OvmError("OVM_VMM_MISSING", "it is not there")
  }
  expect(await about(missing)).toEqual({
    name: "x",
    error: { code: "OVM_VMM_MISSING", message: "it is not there" },
  })
})
