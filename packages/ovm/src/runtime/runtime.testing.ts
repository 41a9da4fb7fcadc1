import { expect } from "bun:test"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { type Images, type ImagesOptions, openImages } from "../images/images.ts"
import { Policy } from "../signing/policy/policy.ts"
import { availableVmms } from "../vmm/available.ts"
import type { InstanceInfo } from "./interfaces.ts"
import { LocalRuntime } from "./local.ts"
import type { LocalRuntimeOptions } from "./options.ts"

/** The store, the cache and the policy below `root`. */
export function imagesBelow(root: string, options?: ImagesOptions): Promise<Images> {
  const policy = new Policy(join(root, "policy.json"))
  return openImages(join(root, "store"), join(root, "derived"), policy, options)
}

/** A runtime with all that it has below `root`, on the VMMs of this host; but for `other`. */
export async function openRuntime(
  root: string,
  other: Partial<LocalRuntimeOptions> = {},
): Promise<LocalRuntime> {
  return await LocalRuntime.open({
    version: "test",
    root,
    instances: join(root, "instances"),
    images: other.images ?? (await imagesBelow(root)),
    vmms: availableVmms(join(root, "cache")),
    ...other,
  })
}

/** Packs machines of the tests' guest with a disk of 1 MiB, called `latest`: the guest's arguments by their names. */
export async function packMachines(root: string, machines: Readonly<Record<string, string>>): Promise<void> {
  const path = join(root, "disk.raw")
  await writeFile(path, Buffer.alloc(1 << 20))
  for (const [name, args] of Object.entries(machines))
    await packGuest(join(root, "store"), `${name}:latest`, args, { diskLayers: [{ path, format: "raw" }] })
}

/** What the status of an instance says once it is so. */
export function reached(
  runtime: LocalRuntime,
  id: string,
  what: string,
  is: (info: InstanceInfo) => boolean,
): Promise<InstanceInfo> {
  return until(what, () => runtime.status(id), { is })
}

/** Kills a machine's VMM from outside; its number is in the folder of the instance. */
export async function killVmm(root: string, id: string): Promise<void> {
  const [pid] = (await readFile(join(root, "instances", id, "pid"), "utf8")).split(" ")
  process.kill(Number(pid), "SIGKILL")
}

/** Removes every instance; fails if a VMM is left. */
export async function removeAll(runtime: LocalRuntime, root: string): Promise<void> {
  for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  expect(await vmmsBelow(root)).toEqual([])
}
