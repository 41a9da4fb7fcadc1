import { expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { DISK_BOOTS } from "@ovms/testkit/bios.ts"
import { isoMissing, writeHybridIso, writeIso } from "@ovms/testkit/iso.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

const skip = isoMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/import-iso.test.ts: ${skip}`)

test.skipIf(Boolean(skip))(
  "the image of a CD-ROM boots by BIOS and by UEFI where it boots as a disk, and is refused by name else [OVMS-IMP-061]",
  async () => {
    await using box = await Sandbox.create()
    const gzip = (file: string) => expect(spawnSync("gzip", ["-k", box.path(file)]).status).toBe(0)
    await writeIso(box.path("data.iso"))
    gzip("data.iso")
    for (const file of ["data.iso", "data.iso.gz"])
      await box.fails(["import", file, "-t", "bad:1"], "OVM_UNSUPPORTED", [file, "CD-ROM", "ovm pack -f"])

    await writeHybridIso(box.path("cd.iso"))
    gzip("cd.iso")
    const bios = await box.json(["import", "cd.iso", "-t", "cd:bios", "--memory", "64MiB"])
    expect(bios).toMatchObject({ format: "raw", firmware: "bios" })
    const packed = await box.json(["import", "cd.iso.gz", "-t", "cd:bios", "--memory", "64MiB"])
    expect(packed.digest).toBe(bios.digest)
    await box.ok(["import", "cd.iso", "-t", "cd:uefi", "--firmware", "uefi", "--memory", "64MiB"])
    const words = { bios: new RegExp(`^${DISK_BOOTS}\r?\n`, "m"), uefi: /UEFI BOOT 1\r?\n/ }
    for (const kind of ["bios", "uefi"] as const) {
      await box.ok(["run", "-d", "--name", kind, `cd:${kind}`])
      await until(`it boots by ${kind}`, () => box.ok(["logs", kind]), {
        is: (text) => words[kind].test(text),
      })
    }
  },
)
