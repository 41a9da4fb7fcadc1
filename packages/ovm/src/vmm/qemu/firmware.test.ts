import { afterAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { LaunchPlan } from "../plan.ts"
import { findFirmware, makeVariables } from "./firmware.ts"

const root = mkdtempSync(join(tmpdir(), "ovm-firmware-"))
afterAll(() => rmSync(root, { recursive: true }))

const file = (name: string, content = name) => {
  const path = join(root, name)
  writeFileSync(path, content)
  return path
}
const [code, template] = [file("code.fd"), file("variables.fd")]

const described = (more: object = {}, mapping: object = {}) =>
  JSON.stringify({
    "interface-types": ["uefi"],
    mapping: {
      device: "flash",
      executable: { filename: code, format: "raw" },
      "nvram-template": { filename: template, format: "raw" },
      ...mapping,
    },
    targets: [{ architecture: "x86_64", machines: ["pc-i440fx-*", "pc-q35-*"] }],
    features: ["acpi-s3"],
    ...more,
  })

test("of what a distribution offers, the first that fits is taken, and what cannot be read is passed over", () => {
  const [system, distribution] = ["etc", "share"].map((name) => join(root, name))
  if (!system || !distribution) return
  expect(findFirmware([system, distribution])).toBeUndefined()
  mkdirSync(system)
  mkdirSync(distribution)
  const put = (folder: string, name: string, text: string) => writeFileSync(join(folder, name), text)
  put(distribution, "10-secure.json", described({ features: ["requires-smm", "secure-boot"] }))
  put(
    distribution,
    "20-arm.json",
    described({ targets: [{ architecture: "aarch64", machines: ["virt-*"] }] }),
  )
  put(
    distribution,
    "30-gone.json",
    described({}, { executable: { filename: join(root, "gone.fd"), format: "raw" } }),
  )
  put(
    distribution,
    "31-odd.json",
    described({}, { "nvram-template": { filename: template, format: "vmdk" } }),
  )
  put(distribution, "32-memory.json", described({}, { device: "memory", filename: code }))
  put(distribution, "33-broken.json", "{")
  put(distribution, "34-nothing.json", "null")
  put(distribution, "35-large.json", `${described()}${" ".repeat(70_000)}`)
  put(distribution, "README", described())
  expect(findFirmware([system, distribution])).toBeUndefined()
  const raw = { path: code, format: "raw" } as const
  put(distribution, "60-plain.json", described())
  expect(findFirmware([system, distribution])).toEqual({
    code: raw,
    template: { path: template, format: "raw" },
  })
  // Who looks after the host has another one, or that one not at all.
  const own = file("own.fd")
  put(system, "50-own.json", described({}, { executable: { filename: own, format: "qcow2" } }))
  expect(findFirmware([system, distribution])?.code).toEqual({ path: own, format: "qcow2" })
  put(system, "50-own.json", "")
  put(system, "60-plain.json", "")
  expect(findFirmware([system, distribution])).toBeUndefined()
})

test.skipIf(!findFirmware())(
  "variables are a copy of the host's once, and the machine's own from then on",
  () => {
    const directory = join(root, "instance")
    mkdirSync(directory)
    const plan = { uefi: true, directory } as unknown as LaunchPlan
    const firmware = makeVariables(plan)
    const path = join(directory, "firmware-variables.fd")
    expect(readFileSync(path)).toEqual(readFileSync(firmware?.template.path ?? ""))
    writeFileSync(path, "its own")
    makeVariables(plan)
    expect(readFileSync(path, "utf8")).toBe("its own")
    expect(makeVariables({ directory } as LaunchPlan)).toBeUndefined()
  },
)
if (!findFirmware()) console.log("skipped: ovmf is not installed")
