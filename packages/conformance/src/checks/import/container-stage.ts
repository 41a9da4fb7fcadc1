import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { kernelOf } from "../../artifact/make.ts"
import { Ext4 } from "../../disk/ext4.ts"
import { type ContainerChanges, containerIn } from "../../foreign/container.ts"
import { ForeignLayout } from "../../foreign/layout.ts"
import type { TarEntry } from "../../foreign/tar.ts"
import { type Bench, type ImportOptions, imported, type Machine, newLayout, refuses } from "./stage.ts"

export type Layers = readonly (readonly TarEntry[])[]

export interface ContainerMachine {
  readonly machine: Machine
  /** The file system of its disk. */
  readonly files: Ext4
}

/** A folder with what boots a container image: files that look like a kernel and an initial RAM disk. */
export async function bootFolder({ folder }: Bench): Promise<string> {
  const boot = join(folder, "boot")
  await mkdir(boot, { recursive: true })
  await writeFile(join(boot, "vmlinuz"), kernelOf(0))
  await writeFile(join(boot, "initrd.img"), "an initial RAM disk")
  return boot
}

/** A layout with a container image of these layers. */
export function containerOf(bench: Bench, layers: Layers, changes?: ContainerChanges): string {
  const layout = new ForeignLayout(newLayout(bench))
  return layout.only(containerIn(layout, layers, changes))
}

export async function importedContainer(
  bench: Bench,
  source: string,
  options: ImportOptions = {},
): Promise<ContainerMachine> {
  const machine = await imported(bench, source, { boot: await bootFolder(bench), ...options })
  return { machine, files: new Ext4(machine.disk) }
}

/** Fails unless the image of these layers is refused with the code; what it said. */
export async function refusesContainer(
  bench: Bench,
  [layers, code]: readonly [layers: Layers, code: string],
  changes?: ContainerChanges,
): Promise<string> {
  const source = containerOf(bench, layers, changes)
  return await refuses(bench, [source, code], { boot: await bootFolder(bench) })
}
