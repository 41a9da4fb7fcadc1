import { expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// The main job on real input: a Debian kernel, an initrd and two stacked disks, from files to a running machine and
// back to rest.

const SOURCE = join(import.meta.dir, "../../../.cache/machine/machine.json")
const skip =
  registryMissing ||
  (existsSync(SOURCE) ? "" : "the demo machine is not built (make machine)") ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/linux.test.ts: ${skip}`)

// OVMS-GST-010, OVMS-GST-030, OVMS-GST-050
test.skipIf(Boolean(skip))("a Debian machine, from files to a registry to its own word", async () => {
  await using registry = await startRegistry()
  await using here = await Sandbox.create()
  await using there = await Sandbox.create()
  const name = `${registry.host}/demo/debian:12`

  // Here: make it and push it.
  const { digest } = await here.json(["pack", "-f", SOURCE, "-t", name])
  expect(await here.json(["push", name])).toEqual({ reference: name, digest })

  // There: pull it, look at it, run it.
  expect(await there.json(["pull", name])).toMatchObject({ digest })
  const { layers } = await there.json(["inspect", name])
  expect(layers).toHaveLength(2)
  expect(await there.json(["validate", name])).toMatchObject({ valid: true })
  const { instance_id, status } = await there.json(["run", "-d", name])
  expect(status).toBe("running")

  // The guest itself says that it read the second layer.
  const console = await until("OVM-DISK on the console", () => there.ok(["logs", instance_id]), {
    is: (text) => /^OVM-DISK.*$/m.test(text),
  })
  expect(console).toMatch(/^OVM-LAYER second, on top of base/m)
  expect(await there.json(["status", instance_id])).toMatchObject({
    state: "running",
    image: { reference: name, digest },
  })

  // It hears the power button and leaves nothing behind.
  expect(await there.json(["stop", "--time", "60", instance_id])).toMatchObject({
    status: "stopped",
    stop_method: "guest",
  })
  await there.ok(["rm", instance_id])
  expect(await there.instances("--all")).toEqual([])
  await there.ok(["rmi", name])
  expect(await there.blobs()).toEqual([])
})
