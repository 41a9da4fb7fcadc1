import { afterAll, describe, expect, test } from "bun:test"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { canOpenKvm, probeAccelerator, probeBios } from "./accelerator.ts"
import { boardOf } from "./board.ts"
import { qemuCapabilities } from "./capabilities.ts"
import { findQemu, versionOf } from "./find.ts"

const QEMU = boardOf({}).program

const folder = mkdtempSync(join(tmpdir(), "ovm-find-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** A stand-in for QEMU versions and processors that are not here. */
function program(name: string, script: string): string {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

describe("finding QEMU", () => {
  test("PATH is searched in order; folders and files that are no programs are passed over", async () => {
    const [first, second] = [join(folder, "first"), join(folder, "second")]
    for (const path of [first, second]) mkdirSync(path)
    writeFileSync(join(first, QEMU), "")
    program(`second/${QEMU}`, "")
    // The first of these is no folder, so that looking into it is an error of another kind.
    const path = [join(first, QEMU), first, "", second].join(":")
    expect((await findQemu({ PATH: path })).path).toBe(join(second, QEMU))
  })

  test("OVM_QEMU comes before PATH", async () => {
    const path = program("other", "")
    expect((await findQemu({ OVM_QEMU: path, PATH: process.env.PATH })).path).toBe(path)
  })

  test("what is missing is named, with the next thing to try", async () => {
    for (const env of [{ PATH: "" }, {}, { OVM_QEMU: join(folder, "nothing") }]) {
      const error = await refusal(findQemu(env))
      expect(error.code).toBe("OVM_VMM_MISSING")
      expect(error.message).toContain(env.OVM_QEMU ?? QEMU)
      expect(error.hint).toContain("apt-get install qemu-system-x86")
    }
  })

  const versions = {
    "7.2.22": true,
    "7.2.0": true,
    "10.0.2": true,
    "7.1.9": false,
    "6.2.0": false,
    none: false,
  }
  for (const [version, usable] of Object.entries(versions))
    test(`version ${version} is ${usable ? "taken" : "refused"}`, async () => {
      const binary = await findQemu({
        OVM_QEMU: program(version, `echo QEMU emulator version ${version} of Debian`),
      })
      if (usable) expect(await versionOf(binary)).toBe(version)
      else expect((await refusal(versionOf(binary))).code).toBe("OVM_VMM_MISSING")
    })
})

describe("the accelerator's probe", () => {
  const device = "/dev/null" // openable, as a KVM would be
  test("a KVM that runs the probe in time is taken", async () => {
    const verdict = await probeAccelerator(program("fast", "exit 85"), folder, device, 60_000)
    expect(verdict.accelerator).toBe("kvm")
  })

  // OVMS-SEC-032
  test("a KVM that is too slow, or that QEMU cannot use, means TCG", async () => {
    const slow = await probeAccelerator(program("slow", "exec sleep 60"), folder, device)
    expect(slow).toEqual({ accelerator: "tcg", reason: expect.stringContaining("did not finish") })
    const broken = await probeAccelerator(program("broken", "exit 1"), folder, device)
    expect(broken).toEqual({ accelerator: "tcg", reason: expect.stringContaining("status 1") })
    const gone = await probeAccelerator(join(folder, "gone"), folder, device)
    const reason = expect.stringContaining("could not be run")
    expect(gone).toEqual({ accelerator: "tcg", reason, untried: true })
  })

  const untriable = !Bun.which(QEMU) || !canOpenKvm() ? "(skipped: it needs QEMU and /dev/kvm)" : ""
  test.skipIf(untriable !== "")(`what could not be tried is tried again ${untriable}`, async () => {
    const cache = join(folder, "cache")
    writeFileSync(cache, "in the way of its firmware")
    expect((await qemuCapabilities(cache)).acceleratorReason).toContain("could not be run")
    rmSync(cache)
    expect((await qemuCapabilities(cache)).acceleratorReason).not.toContain("could not be run")
  })

  test("without the device nothing is started", async () => {
    const mark = join(folder, "started")
    const verdict = await probeAccelerator(program("marks", `touch ${mark}`), folder, join(folder, "no-kvm"))
    expect(verdict).toEqual({ accelerator: "tcg", reason: expect.stringContaining("no-kvm") })
    expect(existsSync(mark)).toBe(false)
  })

  test("its firmware fills 64 KiB and starts 16 bytes below the end", () => {
    const bios = probeBios()
    expect(bios.length).toBe(65_536)
    expect(bios[65_536 - 16]).toBe(0xe9)
  })

  const missing = Bun.which(QEMU) ? "" : "(skipped: QEMU is not installed)"
  test.skipIf(missing !== "")(`its firmware really ends with the expected status ${missing}`, async () => {
    // TCG in the place of KVM: no time limit is tested, only the instructions.
    const real = program("tcg", `exec ${QEMU} $(echo "$*" | sed 's/-accel kvm -cpu host/-accel tcg/')`)
    const verdict = await probeAccelerator(real, folder, device, 60_000)
    expect(verdict).toEqual({ accelerator: "kvm", reason: expect.stringContaining("KVM ran the probe") })
  })
})
