import { afterAll, expect, test } from "bun:test"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { LaunchPlan } from "../plan.ts"
import { checkFirmware } from "./check-firmware.ts"
import { findFirmware } from "./firmware.ts"
import { makeVariables } from "./flashes.ts"

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
  expect(findFirmware({}, [system, distribution])).toBeUndefined()
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
  expect(findFirmware({}, [system, distribution])).toBeUndefined()
  const raw = { path: code, format: "raw" } as const
  put(distribution, "60-plain.json", described())
  expect(findFirmware({}, [system, distribution])).toEqual({
    code: raw,
    template: { path: template, format: "raw" },
    smm: false,
  })
  // Who looks after the host has another one, or that one not at all.
  const own = file("own.fd")
  put(system, "50-own.json", described({}, { executable: { filename: own, format: "qcow2" } }))
  expect(findFirmware({}, [system, distribution])?.code).toEqual({ path: own, format: "qcow2" })
  put(system, "50-own.json", "")
  put(system, "60-plain.json", "")
  expect(findFirmware({}, [system, distribution])).toBeUndefined()
})

test("what is asked for decides: Secure Boot with keys or without, another processor, a size of variables", () => {
  const folder = join(root, "wanted")
  mkdirSync(folder)
  const put = (name: string, more: object, variables: string) => {
    const path = file(`${name}.fd`, variables)
    const mapping = { "nvram-template": { filename: path, format: "raw" } }
    writeFileSync(join(folder, `${name}.json`), described(more, mapping))
    return path
  }
  const secure = ["secure-boot", "requires-smm"]
  const keys = put("40-keys", { features: ["enrolled-keys", ...secure] }, "12345")
  const none = put("30-none", { features: secure }, "123")
  const plain = put("60-plain", {}, "12345")
  const arm = put("70-arm", { targets: [{ architecture: "aarch64", machines: ["virt-*"] }] }, "1")
  const templateOf = (wanted: object) => findFirmware(wanted, [folder])?.template.path
  expect(templateOf({})).toBe(plain)
  expect(templateOf({ architecture: "arm64" })).toBe(arm)
  expect(templateOf({ secureBoot: true })).toBe(keys)
  expect(templateOf({ secureBoot: true, variables: 3 })).toBe(none)
  expect(findFirmware({ secureBoot: true }, [folder])?.smm).toBe(true)
  expect(templateOf({ variables: 5 })).toBe(plain)
  expect(templateOf({ variables: 4 })).toBeUndefined()
})

// OVMS-UEF-003, OVMS-UEF-012
test.skipIf(!findFirmware())(
  "variables are a copy of the host's or of the image's once, and the machine's own from then on",
  async () => {
    const planOf = (name: string, initial?: { path: string; size: number }) => {
      const directory = join(root, name)
      mkdirSync(directory)
      const variables = join(directory, "variables.fd")
      return { directory, uefi: { variables, ...(initial && { initial }) } } as unknown as LaunchPlan
    }
    const plan = planOf("instance")
    const path = plan.uefi?.variables ?? ""
    await makeVariables(plan)
    const bytes = readFileSync(findFirmware()?.template.path ?? "")
    expect(readFileSync(path)).toEqual(bytes)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    writeFileSync(path, "its own")
    await makeVariables(plan)
    expect(readFileSync(path, "utf8")).toBe("its own")
    expect(await makeVariables({ directory: root } as LaunchPlan)).toBeUndefined()

    const image = file("image.fd", "QFI\xfb".padEnd(bytes.length, "x"))
    chmodSync(image, 0o444)
    const other = planOf("other", { path: image, size: bytes.length })
    expect(await checkFirmware(other)).toEqual([])
    await makeVariables(other)
    expect(readFileSync(other.uefi?.variables ?? "")).toEqual(readFileSync(image))
    expect(statSync(other.uefi?.variables ?? "").mode & 0o777).toBe(0o600)
    const short = planOf("short", { path: image, size: 4096 })
    expect(await checkFirmware(short)).toMatchObject([{ pointer: "/firmware/variables", severity: "fatal" }])
  },
)
if (!findFirmware()) console.log("skipped: ovmf is not installed")
