import { expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { KERNEL_ARGS, machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"

setDefaultTimeout(240_000)

const missing = await machineMissing()
if (missing) console.log(`SKIP packages/ovm/test/demo-machine.test.ts: ${missing}`)

// Firecracker has no PCI, and Debian's kernel runs there on a KVM of hardware alone: QEMU has such a machine too.
// Its only clock to measure the processor by is one that a busy host is too slow for: the kernel is told.
test.skipIf(Boolean(missing))(`the demo machine finds its disk without PCI ${missing}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "ovm-demo-machine-"))
  try {
    const machine = dirname(UNPACKED)
    const top = join(folder, "top.qcow2")
    const create = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", join(machine, "diff1.qcow2"), top]
    expect(spawnSync("qemu-img", create).status).toBe(0)
    const { stdout, stderr } = spawnSync(
      "qemu-system-x86_64",
      [
        ...["-M", "microvm,pcie=off,acpi=on", "-accel", "tcg", "-m", "256", "-nodefaults", "-nographic"],
        ...["-kernel", join(machine, "vmlinux"), "-initrd", join(machine, "unpacked.img")],
        ...[
          "-append",
          `${KERNEL_ARGS} tsc_early_khz=2000000 root=/dev/vda rw ovm.exit`,
          "-serial",
          "stdio",
          "-no-reboot",
        ],
        ...["-drive", `id=disk,file=${top},format=qcow2,if=none`, "-device", "virtio-blk-device,drive=disk"],
      ],
      { timeout: 200_000, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" },
    )
    expect(stdout, stderr).toContain("OVM-LAYER second")
    expect(stdout).toContain("OVM-DISK writable")
    expect(stdout).toContain("OVM-POWEROFF")
  } finally {
    rmSync(folder, { recursive: true })
  }
})
