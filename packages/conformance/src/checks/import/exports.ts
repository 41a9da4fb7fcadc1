import { readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { diskMachine } from "../../artifact/disks.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { type Artifact, artifactOf } from "../../artifact/make.ts"
import { type Check, must } from "../../check.ts"
import { diskOf, qcow2Of } from "../../foreign/disks.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { type Bench, bench, exported, imported, newLayout, wholeOf } from "./stage.ts"

const BASE = diskOf("the base")
const CLUSTER = 1 << 16

/** A layer that has one cluster, and whose header names a file that is not there. */
function overlay(): Buffer {
  const bytes = qcow2Of(
    Buffer.concat([Buffer.alloc(5 * CLUSTER), Buffer.alloc(CLUSTER, "new"), Buffer.alloc(10 * CLUSTER)]),
  )
  const backing = "/no/such/base"
  bytes.writeBigUInt64BE(1024n, 8)
  bytes.writeUInt32BE(backing.length, 16)
  bytes.write(backing, 1024)
  return bytes
}

/** The same layer of a disk that is larger by 1 MiB, and has nothing there. */
function larger(): Buffer {
  const bytes = overlay()
  bytes.writeBigUInt64BE(BigInt(2 * BASE.length), 24)
  return bytes
}

function together(): Buffer {
  return Buffer.from(BASE).fill("new", 5 * CLUSTER, 6 * CLUSTER)
}

export async function layoutOf(bench: Bench, artifact: Artifact): Promise<string> {
  return await writeLayout(newLayout(bench), artifact, "1")
}

/** Fails unless the export is refused with the code and says `words`, and the file is as it was. */
export async function refusesExport(
  bench: Bench,
  [format, artifact]: readonly [format: string, artifact: Artifact],
  words: string,
): Promise<void> {
  const path = join(bench.folder, `kept.${format}`)
  await writeFile(path, "what was there")
  const { wrapper, ...call } = bench
  const { code, stderr } = await wrapper.call("export", [format, await layoutOf(bench, artifact), path], call)
  must(code === "OVM_UNSUPPORTED", `the export as ${format} ended ${code ? `with ${code}` : "well"}`)
  must(stderr.includes(words), `the refusal does not name ${words}: ${stderr.trim().slice(0, 300)}`)
  must(`${await readFile(path)}` === "what was there", `the file was changed by an export that was refused`)
}

/** A format knows whole cylinders or megabytes alone: what is behind the disk has to be zeros. */
function sameAgain(format: string): Check<Wrapper> {
  return bench(`export/${format}-and-back`, ["OVMS-IMP-022"], async (bench) => {
    const path = await exported(bench, format, await layoutOf(bench, diskMachine([BASE])))
    const whole = wholeOf(await imported(bench, path))
    const rest = whole.subarray(BASE.length)
    must(whole.subarray(0, BASE.length).equals(BASE), `the disk is another one after a way through ${format}`)
    const sized = ["raw", "qcow2", "vmdk", "vdi"].includes(format)
    must(!sized || rest.length === 0, `the disk is larger after a way through ${format}`)
    must(
      rest.every((byte) => byte === 0),
      `${format} has something behind the end of the disk`,
    )
  })
}

const DISKS = { disks: [{ name: "data", size: 1 << 20 }] }

export const exports: readonly Check<Wrapper>[] = [
  ...["raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"].map(sameAgain),
  bench("export/layers-together", ["OVMS-IMP-020"], async (bench) => {
    const layout = await layoutOf(bench, diskMachine([BASE, overlay()]))
    const raw = await readFile(await exported(bench, "raw", layout))
    must(raw.equals(together()), "what is exported is not what a guest would read of both layers together")
  }),
  bench("export/layer-larger-than-its-base", ["OVMS-DSK-048"], async (bench) => {
    const layout = await layoutOf(bench, diskMachine([BASE, larger()]))
    const raw = await readFile(await exported(bench, "raw", layout))
    must(raw.length === 2 * BASE.length, `the disk has ${raw.length} bytes, and not those of its last layer`)
    must(raw.subarray(0, BASE.length).equals(together()), "the disk differs where both layers have something")
    must(
      raw.subarray(BASE.length).every((byte) => byte === 0),
      "there is something beyond the end of the layer below",
    )
  }),
  bench(
    "export/refuses-what-has-no-place",
    ["OVMS-IMP-021", "OVMS-IMP-023", "OVMS-CNF-034"],
    async (bench) => {
      await refusesExport(bench, ["raw", artifactOf()], "/kernel")
      await refusesExport(bench, ["qcow2", diskMachine([BASE], DISKS)], "/disks")
    },
  ),
  bench("export/whole-or-as-it-was", ["OVMS-IMP-023"], async (bench) => {
    const { wrapper, ...call } = bench
    const path = join(bench.folder, "out")
    await writeFile(path, "what was there")
    const layout = await layoutOf(bench, diskMachine([BASE]))
    // Half of the disk may be written, and not a byte more.
    const tried = await wrapper
      .call("export", ["raw", layout, path], { ...call, fileBytes: BASE.length / 2 })
      .catch(() => undefined)
    const is = await stat(path)
    must(tried === undefined || tried.code !== undefined, "it says that it wrote more than could be written")
    must(
      is.size === "what was there".length,
      `a file of ${is.size} bytes is in the place of one that was there`,
    )
    must(
      (await readFile(await exportedOver(bench, layout, path))).equals(BASE),
      "the file is not the whole disk",
    )
  }),
]

async function exportedOver(bench: Bench, layout: string, path: string): Promise<string> {
  const { wrapper, ...call } = bench
  const { code } = await wrapper.call("export", ["raw", layout, path], call)
  must(code === undefined, `an export over a file that is there ended with ${code}`)
  return path
}
