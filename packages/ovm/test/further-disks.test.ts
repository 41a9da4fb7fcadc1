import { expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { KERNEL, KERNEL_ARGS, MACHINE } from "@ovms/testkit/machines.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { Sandbox } from "./sandbox.ts"

// Disks beside the first, from files through a registry to what a Linux sees of them.

setDefaultTimeout(300_000)

const skip =
  registryMissing ||
  (existsSync(MACHINE) ? "" : "the demo machine is not built (make machine)") ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/further-disks.test.ts: ${skip}`)

const MiB = 2 ** 20

/** Tells each disk's serial number, size, and whether it can be written to, and writes to it. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
mount -t sysfs sys /sys
while read -r module; do insmod "$module"; done </modules
for disk in /sys/block/vd*; do
  node=/dev/$(basename "$disk")
  echo "DISK [$(cat "$disk/serial")] $(cat "$disk/size") ro=$(cat "$disk/ro") $(head -c 7 "$node" | tr '\\0' .)"
  echo written | dd of="$node" conv=notrunc,fsync 2>/dev/null
done
echo OVM-READY
exec sleep 1000000
`

/** A newc archive of one program (Linux: Documentation/driver-api/early-userspace/buffer-format.rst). */
function archive(name: string, text: string): Buffer {
  const entry = (name: string, mode: number, body: string) => {
    const fields = [1, mode, 0, 0, 1, 0, body.length, 0, 0, 0, 0, name.length + 1, 0]
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`
    const padded = (part: string) => part + "\0".repeat((4 - (part.length % 4)) % 4)
    return padded(head) + padded(body)
  }
  return Buffer.from(entry(name, 0o100755, text) + entry("TRAILER!!!", 0, ""), "latin1")
}

test.skipIf(Boolean(skip))("a Linux sees them by their names, here and elsewhere", async () => {
  await using registry = await startRegistry()
  await using here = await Sandbox.create()
  await using there = await Sandbox.create()
  const name = `${registry.host}/demo/disks:1`
  const demo = await readFile(join(MACHINE, "unpacked.img"))
  // The kernel looks for the next archive at a multiple of 4.
  const initrd = Buffer.concat([demo, Buffer.alloc(3 - ((demo.length + 3) % 4)), archive("init", INIT)])
  const source = {
    schemaVersion: 1,
    name: "demo/disks",
    kernel: { path: KERNEL, args: KERNEL_ARGS },
    initrd: { path: await here.file("initrd.img", initrd) },
    diskLayers: [{ path: await here.file("first.raw", Buffer.alloc(MiB, "first ")) }],
    disks: [
      { name: "data", layers: [{ path: await here.file("data.raw", Buffer.alloc(2 * MiB, "data ")) }] },
      {
        name: "tools",
        readOnly: true,
        layers: [{ path: await here.file("tools.raw", Buffer.alloc(3 * MiB, "tools ")) }],
      },
      { name: "room", size: 4 * MiB },
    ],
    resources: { memory: 256 * MiB },
  }
  const file = await here.file("machine.json", source)
  expect(await here.json(["validate", file])).toMatchObject({ valid: true, kind: "pack-source" })
  await here.ok(["pack", "-f", file, "-t", name, "--provenance", here.path("p.json")])
  // OVMS-PRV-006
  const { buildDefinition } = JSON.parse(await readFile(here.path("p.json"), "utf8"))
  const parts = buildDefinition.resolvedDependencies.map(
    (one: { annotations: Record<string, string> }) => one.annotations["ovms.part"],
  )
  expect(parts).toEqual(["source", "kernel", "initrd", "disk 0", "disk data 0", "disk tools 0"])
  await here.ok(["push", name])

  await there.ok(["pull", name])
  expect(await there.json(["validate", name])).toMatchObject({ valid: true })
  expect((await there.json(["inspect", name])).disks).toMatchObject([
    { name: "data", read_only: false, layers: [{ format: "raw", virtual_size: 2 * MiB }] },
    { name: "tools", read_only: true, layers: [{ format: "raw", virtual_size: 3 * MiB }] },
    { name: "room", read_only: false, size: 4 * MiB },
  ])
  const { components } = JSON.parse(await there.ok(["sbom", name]))
  expect(components.map(({ name }: { name: string }) => name)).toContain("disk tools layer 0")
  await there.ok(["volume", "create", "kept", "--size", "5MiB"])
  const id = await there.ok(["run", "-d", "--name", "m", "-v", "kept", name])
  const seen = (data: string, room: string) =>
    [
      `DISK [] 2048 ro=0 ${data === "written" ? data : "first f"}`,
      `DISK [data] 4096 ro=0 ${data}`,
      "DISK [tools] 6144 ro=1 tools t",
      `DISK [room] 8192 ro=0 ${room}`,
      `DISK [kept] 10240 ro=0 ${room}`,
    ].join("\r\n")
  expect(await there.console(id, "OVM-READY")).toContain(seen("data da", "......."))
  expect(await there.ok(["status", "m"])).toMatch(/disk +tools, 3 MiB, read-only/)
  await there.ok(["restart", "--time", "0", "m"])
  expect(await there.console(id, "OVM-READY")).toContain(seen("written", "written"))
  await there.ok(["rm", "-f", "m"])
  await there.ok(["rmi", name])
  expect(await there.blobs()).toEqual([])
})
