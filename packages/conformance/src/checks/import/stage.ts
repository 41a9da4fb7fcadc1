import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { isOfNothing, type ReadLayout, readLayout } from "../../artifact/layout.ts"
import { type Check, type CheckCall, must } from "../../check.ts"
import { type Disk, qcow2Disk } from "../../disk/qcow2.ts"
import type { Wrapper } from "../../subject/wrapper.ts"

/** What a check of imports and exports has. */
export interface Bench extends CheckCall {
  readonly wrapper: Wrapper
}

// biome-ignore lint/suspicious/noExplicitAny: a document of the implementation's, of which checks ask what they want
type Document = any

export interface Machine {
  /** Path of the layout. */
  readonly layout: string
  readonly read: ReadLayout
  /** The OVMS manifest. */
  readonly manifest: Document
  /** What a guest would read of the first disk. */
  readonly disk: Disk
}

export interface ImportOptions {
  /** The folder with the kernel and initial RAM disk of a container image. */
  readonly boot?: string
  readonly env?: Readonly<Record<string, string>>
  readonly by?: readonly string[]
}

export function bench(
  name: string,
  covers: readonly string[],
  run: (bench: Bench) => Promise<void>,
): Check<Wrapper> {
  return { name, profile: "import", covers, run: (wrapper, call) => run({ ...call, wrapper }) }
}

let layouts = 0

/** A path for a layout that is not there yet. */
export function newLayout({ folder }: Bench): string {
  return join(folder, `layout${layouts++}`)
}

/** Writes a file into the check's folder; its path. */
export async function file({ folder }: Bench, name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

/** Has it import the source, and reads what it made; fails if it refuses. */
export async function imported(bench: Bench, source: string, options: ImportOptions = {}): Promise<Machine> {
  const { layout, code, stderr } = await tried(bench, source, options)
  must(code === undefined, `the import of ${source} ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  return await machineIn(layout)
}

/** Fails unless it refuses the source with the code, and leaves no machine. */
export async function refuses(
  bench: Bench,
  [source, wanted]: readonly [source: string, code: string],
  options: ImportOptions = {},
): Promise<string> {
  const { layout, code, stderr } = await tried(bench, source, options)
  const name = source.replace(`${bench.folder}/`, "")
  must(
    code === wanted,
    `the import of ${name} ended ${code ? `with ${code}` : "well"}, and not with ${wanted}`,
  )
  await isOfNothing(layout, `the import of ${name} was refused, and left a machine`)
  return stderr
}

async function tried(bench: Bench, source: string, { boot, ...how }: ImportOptions) {
  const layout = newLayout(bench)
  const words = [source, layout, ...(boot === undefined ? [] : [boot])]
  const { wrapper, ...call } = bench
  return { layout, ...(await wrapper.call("import", words, { ...call, ...how })) }
}

/** Has it write the machine of a layout into a file of the format; the file's path. */
export async function exported(bench: Bench, format: string, layout: string): Promise<string> {
  const path = join(bench.folder, `out.${format}`)
  const { wrapper, ...call } = bench
  const { code, stderr } = await wrapper.call("export", [format, layout, path], call)
  must(code === undefined, `the export as ${format} ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  return path
}

/** The machine of a layout, whole. */
export async function machineIn(layout: string): Promise<Machine> {
  const read = await readLayout(layout)
  const { config, layers = [] } = read.oci
  must(config, "the OCI manifest has no config")
  const manifest = JSON.parse((await read.blob(config)).toString())
  const [first, ...more] = manifest.diskLayers ?? []
  must(first && more.length === 0, `the machine has ${1 + more.length} disk layers, and not one`)
  const layer = layers.find(({ digest }) => digest === first.ref)
  must(layer, "the machine's disk layer is not among the layers of the OCI manifest")
  return { layout, read, manifest, disk: qcow2Disk(await read.blob(layer)) }
}

/** All that a guest would read of a small disk. */
export function wholeOf({ disk }: Machine): Buffer {
  return disk.read(0, disk.size)
}
