import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { diskMachine } from "../../artifact/disks.ts"
import { isOfNothing, type ReadLayout, readLayout } from "../../artifact/layout.ts"
import { must, skip } from "../../check.ts"
import { diskOf } from "../../foreign/disks.ts"
import { digestOf } from "../../registry/content.ts"
import { layoutOf } from "../import/exports.ts"
import { type Bench, newLayout } from "../import/stage.ts"

// biome-ignore lint/suspicious/noExplicitAny: a document of the implementation's, of which checks ask what they want
export type Document = any

/** A machine that nothing is done in: it could not boot. */
export const BASE = diskMachine([diskOf("a machine that builds begin with")])

export interface BuildOptions {
  /** Layout of what `base` is; BASE unless told. */
  readonly base?: string
  /** Of a container image. */
  readonly boot?: string
  /** `NAME=VALUE` */
  readonly args?: readonly string[]
  /** Files of the context besides the Dockerfile. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  readonly env?: Readonly<Record<string, string>>
}

export interface Built {
  readonly layout: string
  readonly read: ReadLayout
  readonly manifest: Document
  /** Of the OCI manifest. */
  readonly notes: Readonly<Record<string, string>>
  readonly settings: Document
}

async function tried(bench: Bench, dockerfile: string, { files = {}, args = [], ...options }: BuildOptions) {
  const context = join(bench.folder, "context")
  await mkdir(context, { recursive: true })
  for (const [name, content] of Object.entries({ ...files, Dockerfile: dockerfile }))
    await writeFile(join(context, name), content)
  const layout = newLayout(bench)
  const base = options.base ?? (await layoutOf(bench, BASE))
  const { wrapper, ...call } = bench
  const words = [context, layout, base, options.boot ?? "", ...args]
  return {
    layout,
    ...(await wrapper.call("build", words, { ...call, ...(options.env && { env: options.env }) })),
  }
}

/** Has it build the Dockerfile; fails if it refuses. */
export async function built(bench: Bench, dockerfile: string, options: BuildOptions = {}): Promise<Built> {
  const { layout, code, stderr } = await tried(bench, dockerfile, options)
  must(code === undefined, `the build ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  const read = await readLayout(layout)
  must(read.oci.config, "the OCI manifest has no config")
  const notes = read.oci.annotations ?? {}
  return {
    layout,
    read,
    notes,
    manifest: JSON.parse((await read.blob(read.oci.config)).toString()),
    settings: JSON.parse(notes["ovms.settings"] ?? "{}"),
  }
}

/** Fails unless it refuses the Dockerfile by these lines, and makes nothing. */
export async function refusesBuild(
  bench: Bench,
  dockerfile: string,
  lines: readonly number[],
  options: BuildOptions = {},
): Promise<void> {
  const said = await refusesBuildWith(bench, "OVM_BUILD_INVALID", dockerfile, options)
  for (const line of lines)
    must(
      new RegExp(`\\b${line}\\b`).test(said),
      `the refusal does not name line ${line}: ${said.slice(0, 300)}`,
    )
}

/** Fails unless it ends with the code, and makes nothing; what it said. */
export async function refusesBuildWith(
  bench: Bench,
  wanted: string,
  dockerfile: string,
  options: BuildOptions = {},
): Promise<string> {
  const { layout, code, stderr } = await tried(bench, dockerfile, options)
  const said = stderr.trim()
  must(
    code === wanted,
    `the build of ${JSON.stringify(dockerfile)} ended ${code ? `with ${code}` : "well"}, and not with ${wanted}: ${said.slice(-300)}`,
  )
  await isOfNothing(layout, `the build ended with ${wanted}, and made something`)
  return said
}

/** What it wrote down of what it was made of; skips where it writes no provenance. */
export async function provenanceIn({
  folder,
}: Bench): Promise<{ readonly text: string; readonly said: Document }> {
  const text = await readFile(join(folder, "provenance.json"), "utf8").catch(() => undefined)
  if (text === undefined) skip("it writes no provenance")
  return { text, said: JSON.parse(text) }
}

/** Digest and part of each of its dependencies. */
export function dependenciesOf(said: Document): readonly (readonly [part: string, digest: string])[] {
  return said.buildDefinition.resolvedDependencies.map(
    ({ annotations, digest }: Document) => [annotations?.["ovms.part"], `sha256:${digest?.sha256}`] as const,
  )
}

export const sha256 = (text: string) => digestOf(Buffer.from(text))
