import { expect, setDefaultTimeout, test } from "bun:test"
import { ARM64_READY, arm64EfiProgram } from "@ovms/testkit/arm64.ts"
import {
  ARM64_TEST_VARIABLES,
  arm64UefiMissing,
  buildUefiDisk,
  buildUefiProgram,
  signForTests,
  signingMissing,
  TEST_VARIABLES,
  uefiMissing,
  writeUefiDisk,
} from "@ovms/testkit/uefi.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// Lane: first, 5 min. Firmware is booted again and again, that of arm64 too.

// A program for UEFI that counts its boots in a variable of the firmware.

setDefaultTimeout(600_000)

const skip = uefiMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/uefi.test.ts: ${skip}`)

async function packed(host: Sandbox, more: object = {}): Promise<void> {
  const source = {
    schemaVersion: 1,
    name: "test/uefi",
    diskLayers: [{ path: await buildUefiDisk(), format: "raw" }],
    resources: { vcpus: 1, memory: 64 << 20 },
    metadata: { platform: { arch: "x86_64", uefi: true } },
    ...more,
  }
  await host.ok(["pack", "-f", await host.file("uefi.json", JSON.stringify(source)), "-t", "uefi:1"])
}

/** Waits until its console has said `words`. */
async function said(host: Sandbox, name: string, words: RegExp): Promise<void> {
  const logs = () => host.ok(["logs", name])
  await until(`${name} says ${words}`, logs, { is: (text) => words.test(text) })
}

test.skipIf(Boolean(skip))(
  "variables of another size than the firmware's are refused before anything is made [OVMS-UEF-012]",
  async () => {
    await using host = await Sandbox.create()
    await host.file("small.fd", "x".repeat(4096))
    await packed(host, { firmware: { variables: { path: "small.fd" } } })
    const culprits = ["/firmware/variables: ", "firmware that keeps 4096 bytes of them", "this host's keeps "]
    await host.fails(["run", "-d", "--name", "one", "uefi:1"], "OVM_UEFI_UNSUPPORTED", culprits)
    expect(await host.instances("--all")).toEqual([])
  },
)

test.skipIf(Boolean(skip))(
  "a machine boots by UEFI, and its variables outlive its boots and its snapshots and commits [OVMS-UEF-001, OVMS-UEF-003, OVMS-UEF-005, OVMS-UEF-010]",
  async () => {
    await using host = await Sandbox.create()
    await packed(host)
    await host.ok(["run", "-d", "--name", "one", "uefi:1"])
    await said(host, "one", /UEFI BOOT 1\r?\n[\s\S]*TICK 1\r?\n/)
    const { snapshot_ref } = await host.json(["snapshot", "one", "--tag", "warm"])
    expect(snapshot_ref).toStartWith("sha256:")
    const again = async (name: string) => {
      await host.ok(["stop", "--time", "0", name])
      await host.ok(["start", name])
      await said(host, name, /UEFI BOOT 2\r?\n/)
      await host.ok(["stop", "--time", "0", name])
    }
    await again("one")
    await host.ok(["commit", "one", "-t", "uefi:2"])
    await host.ok(["rm", "one"])
    // The clone goes on from where it was, with variables of its own: those of that moment.
    await host.ok(["run", "-d", "--name", "clone", "uefi:warm"])
    await said(host, "clone", /TICK [1-9]\d*\r?\n/)
    expect(await host.ok(["logs", "clone"])).not.toContain("UEFI BOOT")
    await again("clone")
    // One that was committed goes on counting, wherever it is taken to.
    await host.ok(["save", "-o", host.path("uefi.tar"), "uefi:2"])
    await host.ok(["run", "-d", "--name", "two", host.path("uefi.tar")])
    await said(host, "two", /UEFI BOOT 3\r?\n/)
    const { variables, layers } = await host.json(["inspect", "uefi:2"])
    expect(layers).toHaveLength(2)
    expect(variables.size).toBeGreaterThan(4096)
  },
)

test.skipIf(Boolean(skip))(
  "an EFI program is a kernel of a machine that boots by UEFI, and of no other [OVMS-UEF-040, OVMS-UEF-042, OVMS-UEF-043]",
  async () => {
    await using host = await Sandbox.create()
    const kernel = await buildUefiProgram()
    const pack = (...more: string[]) => [
      "pack",
      "--kernel",
      kernel,
      "--memory",
      "64MiB",
      ...more,
      "-t",
      "efi:1",
    ]
    await host.fails(pack(), "OVM_KERNEL_INVALID", ["is an EFI program", "ovm pack --uefi"])
    await host.fails(pack("--uefi", "--platform", "linux/arm64"), "OVM_KERNEL_INVALID", [
      "is a kernel for amd64",
    ])
    await host.ok(pack("--secure-boot"))
    await host.fails(["run", "-d", "efi:1"], "OVM_UNSUPPORTED", ["/kernel: "])
    await host.ok(pack("--uefi", "--initrd", await host.file("initrd.img", "an initrd")))
    await host.fails(["run", "-d", "efi:1"], "OVM_UNSUPPORTED", ["/initrd: "])
    await host.ok(pack("--uefi"))
    await host.ok(["run", "-d", "--name", "one", "efi:1"])
    await said(host, "one", /UEFI BOOT 1\r?\n/)
  },
)

const unsigned = skip || signingMissing
if (unsigned && !skip) console.log(`SKIP Secure Boot: ${unsigned}`)

test.skipIf(Boolean(unsigned))(
  "Secure Boot starts what is signed by a key of its variables, and nothing else [OVMS-UEF-020, OVMS-UEF-021]",
  async () => {
    await using host = await Sandbox.create()
    const platform = { arch: "x86_64", uefi: true, secureBoot: true }
    const metadata = { metadata: { platform } }
    await packed(host, metadata)
    await host.ok(["run", "-d", "--name", "unsigned", "uefi:1"])
    const diskLayers = [{ path: await buildUefiDisk({ signed: true }), format: "raw" }]
    await packed(host, { ...metadata, diskLayers, firmware: { variables: { path: TEST_VARIABLES } } })
    await host.ok(["run", "-d", "--name", "signed", "uefi:1"])
    await said(host, "signed", /UEFI BOOT 1\r?\n/)
    await said(host, "unsigned", /failed to load Boot0001 .*: Access Denied\r?\n/)
    expect(await host.ok(["logs", "unsigned"])).not.toContain("UEFI BOOT")
  },
)

if (arm64UefiMissing && !skip) console.log(`SKIP UEFI for arm64: ${arm64UefiMissing}`)

test.skipIf(Boolean(arm64UefiMissing))(
  "a machine for arm64 boots its disk by UEFI, and has what it lacks refused by name [OVMS-UEF-001, OVMS-UEF-030]",
  async () => {
    await using host = await Sandbox.create()
    const program = await host.file("arm64.efi", arm64EfiProgram())
    await writeUefiDisk(host.path("arm64.raw"), program, "BOOTAA64.EFI")
    const what = ["--layer", host.path("arm64.raw"), "--platform", "linux/arm64", "--uefi"]
    await host.ok(["pack", ...what, "--tpm", "-t", "arm64:1"])
    await host.fails(["run", "-d", "arm64:1"], "OVM_UNSUPPORTED", ["/metadata/platform/tpm: ", "for arm64"])
    await host.ok(["pack", ...what, "-t", "arm64:1"])
    await host.ok(["run", "-d", "--name", "one", "arm64:1"])
    await host.console("one", ARM64_READY)
  },
)

test.skipIf(Boolean(arm64UefiMissing || signingMissing))(
  "Secure Boot on arm64 starts what is signed by a key of its variables, and nothing else [OVMS-UEF-020, OVMS-UEF-021]",
  async () => {
    await using host = await Sandbox.create()
    const program = await host.file("arm64.efi", arm64EfiProgram())
    const start = async (name: string, file: string, more: object = {}) => {
      const disk = host.path(`${name}.raw`)
      await writeUefiDisk(disk, file, "BOOTAA64.EFI")
      const source = {
        schemaVersion: 1,
        name,
        architecture: "arm64",
        diskLayers: [{ path: disk, format: "raw" }],
        resources: { vcpus: 1, memory: 128 << 20 },
        metadata: { platform: { arch: "aarch64", uefi: true, secureBoot: true } },
        ...more,
      }
      await host.ok(["pack", "-f", await host.file("source.json", JSON.stringify(source)), "-t", `${name}:1`])
      await host.ok(["run", "-d", "--name", name, `${name}:1`])
    }
    await start("unsigned", program)
    const signed = await signForTests(program, (name) => host.path(name))
    await start("signed", signed, { firmware: { variables: { path: ARM64_TEST_VARIABLES } } })
    await host.console("signed", ARM64_READY)
    await said(host, "unsigned", /failed to load Boot0001 .*: Access Denied\r?\n/)
    expect(await host.ok(["logs", "unsigned"])).not.toContain(ARM64_READY)
  },
)
