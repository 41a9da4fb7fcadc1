import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readConsole } from "../console.ts"
import { endStray } from "../process/stray.ts"
import { vmmSuite } from "../vmm.suite.ts"
import { findQemu } from "./find.ts"
import { qemu } from "./index.ts"

// Real processes, on a host that may be busy.
setDefaultTimeout(180_000)

const missing = await findQemu().then(
  () => "",
  (error: unknown) => `(skipped: ${error instanceof Error ? error.message : error})`,
)

vmmSuite("qemu", { module: join(import.meta.dir, "index.ts"), factory: "qemu", missing, snapshots: true })

describe.skipIf(missing !== "")(`what only QEMU has ${missing}`, () => {
  const root = mkdtempSync(join(tmpdir(), "ovm-bios-"))
  afterAll(async () => {
    for (const name of readdirSync(root)) await endStray(join(root, name))
    rmSync(root, { recursive: true })
  })

  /** Boots a disk whose first sector prints a word on the serial port and resets. */
  async function bootSector(
    devices: Parameters<ReturnType<typeof qemu>["launch"]>[0]["devices"],
  ): Promise<string> {
    const directory = mkdtempSync(join(root, "machine-"))
    const disk = join(directory, "boot.raw")
    const code = [
      ...[0xbe, 0x20, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x06], //        mov si, words; next: lodsb; test al, al; jz end
      ...[0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5], //                    mov dx, 0x3f8; out dx, al; jmp next
      ...[0xb0, 0xfe, 0xe6, 0x64, 0xf4], //                          end: mov al, 0xfe; out 0x64, al; hlt
    ]
    const sector = Buffer.alloc(1 << 20) // SeaBIOS passes over a disk of one sector
    Buffer.from(code).copy(sector)
    sector.write("BOOTED", 0x20)
    sector.writeUInt16LE(0xaa55, 510)
    writeFileSync(disk, sector)
    const resources = { vcpus: 1, memory: 32 << 20 }
    const layers = [{ path: disk, format: "raw" as const }]
    const plan = { id: "bios", directory, resources, disk: { layers }, devices, consoleLimit: 4096 }
    const machine = await qemu(join(root, "cache")).launch(plan)
    expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-reset" })
    let text = ""
    for await (const bytes of readConsole(directory)) text += Buffer.from(bytes).toString()
    return text
  }

  // OVMS-MAN-026
  test("boots from the disk by BIOS when there is no kernel", async () => {
    expect(await bootSector([])).toBe("BOOTED")
  })

  // OVMS-MAN-058
  test("takes shared memory, and leaves out an optional device that it does not know", async () => {
    const shared = {
      type: "ivshmem",
      name: "a,mem-path=/etc/passwd",
      size: 1 << 20,
      mmioAddr: "0x10000000",
      required: true,
    }
    const unknown = { type: "gpu", name: "b", required: false }
    expect(await bootSector([shared, shared, unknown])).toBe("BOOTED")
  })
})
