import { expect, test } from "bun:test"
import { chmodSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { type Bench, hash, linux, MiB, sizeOf } from "./bench.testing.ts"

const WRITABLE = { size: MiB, writable: true }

/** What a machine is made of: disks, kernels, strings of a manifest; good and hostile ones. */
export function inputSuite(bench: Bench): void {
  const disks = bench.skips("disks")
  const debian = bench.skips("linux")

  // OVMS-DSK-006, OVMS-GST-030
  test.skipIf(disks.skip)(`reads a chain of layers, writes to the overlay alone${disks.note}`, async () => {
    const base = join(bench.root, "base.raw")
    const bytes = Buffer.alloc(MiB)
    for (const sector of [0, 1, 2]) bytes.write(`base ${sector}`, sector * 512)
    writeFileSync(base, bytes)
    const layers = [{ path: base, format: "raw" as const }]
    const plan = bench.planOf("write=1 tick_ms=1 ticks=1", { disk: { layers, ...WRITABLE } })
    const writer = await bench.vmm.launch(plan)
    await writer.exited
    const { overlay: first = "" } = writer.record
    expect(dirname(first)).toBe(plan.directory)
    for (const path of [base, first]) chmodSync(path, 0o444)
    const before = [base, first].map(hash)
    const chain = [...layers, { path: first, format: "qcow2" as const }]
    const machine = await bench.vmm.launch(
      bench.planOf("write=2 read=0 read=1 read=2 tick_ms=1 ticks=1", {
        disk: { layers: chain, ...WRITABLE },
      }),
    )
    const text = await bench.until(machine)
    expect(text).toContain(`DISK sectors=${MiB / 512}`)
    expect(text).toContain("SECTOR 0 [base 0]")
    expect(text).toContain("SECTOR 1 [written by the guest]")
    expect(text).toContain("SECTOR 2 [written by the guest]")
    expect([base, first].map(hash)).toEqual(before)
  })

  // OVMS-SEC-030
  test.skipIf(!qemuImg.present || disks.skip)(
    `never opens what a header calls its backing file ${qemuImg.note}${disks.note}`,
    async () => {
      const [secret, base, diff] = [
        join(bench.root, "secret.raw"),
        join(bench.root, "plain.qcow2"),
        join(bench.root, "liar.qcow2"),
      ]
      writeFileSync(secret, Buffer.alloc(MiB, "secret "))
      qemuImg.run("create", "-q", "-f", "qcow2", base, "1M")
      qemuImg.run("create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", diff)
      for (const layers of [[base, diff], [diff]]) {
        const files = layers.map((path) => ({ path, format: "qcow2" as const }))
        const disk = { layers: files, size: MiB, writable: false }
        const text = await bench.until(
          await bench.vmm.launch(bench.planOf("read=0 tick_ms=1 ticks=1", { disk })),
        )
        expect(text).toContain("SECTOR 0 []")
      }
    },
  )

  // OVMS-GST-031
  test.skipIf(disks.skip)(`a machine without an overlay cannot write${disks.note}`, async () => {
    const path = join(bench.root, "read-only.raw")
    writeFileSync(path, Buffer.alloc(MiB, "as it was "))
    const disk = { layers: [{ path, format: "raw" as const }], size: MiB, writable: false }
    const text = await bench.until(
      await bench.vmm.launch(bench.planOf("write=0 read=0 tick_ms=1 ticks=1", { disk })),
    )
    expect(text).toContain("WROTE 0 error 1")
    expect(text).toContain("SECTOR 0 [as it was ")
  })

  // OVMS-GST-011
  test("hands over an initrd", async () => {
    const path = join(bench.root, "initrd,with=commas")
    writeFileSync(path, "0123456789")
    const text = await bench.until(
      await bench.vmm.launch(bench.planOf("tick_ms=1 ticks=1", { initrd: { path } })),
    )
    expect(text).toContain("size=10 head=30313233343536373839")
  })

  // OVMS-LIM-012
  test("keeps the console within its bound", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=0 ticks=2000", { consoleLimit: 2000 }))
    const text = await bench.until(machine)
    await machine.exited
    const kept = readdirSync(machine.record.directory).reduce((sum, file) => sum + sizeOf(machine, file), 0)
    expect(kept).toBeLessThanOrEqual(2000)
    expect(kept).toBeGreaterThan(1000)
    expect(text).toContain("TICK 2000")
    expect(text).toContain("GUEST-DONE")
  })

  // OVMS-MAN-027, OVMS-SEC-020
  test("hostile strings stay what they are", async () => {
    const args = `a,mem-path=/etc/passwd,"b",-S {"c":1} ' $(touch x) \`d\` %s -device help`
    const directory = join(bench.root, `,path=${"long ".repeat(30)},"and":{hostile`)
    const text = await bench.until(
      await bench.vmm.launch(bench.planOf(`${args} tick_ms=1 ticks=1`, { directory })),
    )
    expect(text).toContain(`CMDLINE [${args} tick_ms=1 ticks=1`)
    expect(existsSync(join(directory, "x"))).toBe(false)
  })

  for (const [what, args] of [
    ["NUL", "a\0b"],
    ["a newline", "a\nb"],
  ] as const)
    test(`${what} in the kernel's arguments is refused before anything starts`, async () => {
      const plan = bench.planOf(args)
      expect(await bench.vmm.check(plan)).toMatchObject([{ pointer: "/kernel/args", severity: "fatal" }])
      const error = await refusal(bench.vmm.launch(plan))
      expect(error).toMatchObject({
        code: "OVM_UNSUPPORTED",
        message: expect.stringContaining("/kernel/args"),
      })
      expect(readdirSync(plan.directory)).toEqual([])
    })

  test("a kernel that is none is refused by name", async () => {
    const path = join(bench.root, "no-kernel")
    for (const content of ["", "just words", Buffer.alloc(MiB, 7)]) {
      writeFileSync(path, content)
      const plan = bench.planOf("", { kernel: { path, args: "" } })
      const error = await refusal(bench.vmm.launch(plan))
      expect(error).toMatchObject({ code: "OVM_KERNEL_INVALID", message: expect.stringContaining(path) })
      expect(readdirSync(plan.directory)).toEqual([])
    }
  })

  test.skipIf(disks.skip)(`a VMM that dies at start says why, and nothing is left${disks.note}`, async () => {
    const path = join(bench.root, "missing.qcow2")
    const plan = bench.planOf("", {
      disk: { layers: [{ path, format: "qcow2" }], size: MiB, writable: false },
    })
    const error = await refusal(bench.vmm.launch(plan))
    expect(error.code).toBe("OVM_VMM_FAILED")
    expect(error.message).toContain(path)
    expect(error.message).toContain("No such file")
    expect(processesIn(plan.directory)).toEqual([])
  })

  test("a directory that is not there fails and starts nothing", async () => {
    const plan = bench.planOf("")
    rmSync(plan.directory, { recursive: true })
    expect((await refusal(bench.vmm.launch(plan))).code).toBe("OVM_VMM_FAILED")
  })

  test.skipIf(linux.note !== "" || debian.skip)(
    `boots Debian's kernel with both layers ${linux.note}${debian.note}`,
    async () => {
      const plan = bench.planOf("", {
        kernel: linux.kernel,
        initrd: linux.initrd,
        disk: { layers: linux.layers, size: linux.diskSize, writable: true },
        resources: { vcpus: 1, memory: linux.memory },
      })
      const machine = await bench.vmm.launch(plan)
      expect(await bench.until(machine, "OVM-DISK")).toContain("OVM-LAYER second")
      expect(await machine.stop({ graceMs: 60_000 })).toBe("guest")
      expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-shutdown" })
    },
    120_000,
  )
}
