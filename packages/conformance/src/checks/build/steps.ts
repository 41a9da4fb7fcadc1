import { chmod, chown, lstat, mkdir, readlink, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { documentOf, readLayout } from "../../artifact/layout.ts"
import { must } from "../../check.ts"
import { ARCHIVES } from "../../foreign/archives.ts"
import { digestOf } from "../../registry/content.ts"
import type { Bench } from "../import/stage.ts"
import { type Built, type Document, dependenciesOf, provenanceIn, sha256 } from "./stage.ts"

/** Names of the context: what a Dockerfile copies of it, and in it what is not to be seen. */
export const FILES = {
  "copied/file": "of the context\n",
  "copied/left-out": "for nobody\n",
  ".dockerignore": "**/left-out\n",
  ...Object.fromEntries(Object.entries(ARCHIVES).map(([name, bytes]) => [`packed-by-${name}`, bytes])),
}
const COPIED = ["copied/folder", "copied/file", "copied/link", ...Object.keys(FILES).slice(3)]

/** Another context than one before, with a folder and a link, and files of somebody's where the suite may make such. */
export async function contextIn({ folder }: Bench): Promise<void> {
  const copied = join(folder, "context/copied")
  await mkdir(join(copied, "folder"), { recursive: true })
  await chmod(join(copied, "folder"), 0o750)
  await symlink("file", join(copied, "link"))
  await writeFile(join(copied, "file"), "")
  await chmod(join(copied, "file"), 0o640)
  if (process.getuid?.() === 0) await chown(join(copied, "file"), 1234, 1234)
}

/** As OVMS-BLD-052 has them, of all that is copied. */
async function digestOfContext({ folder }: Bench): Promise<string> {
  const lines = COPIED.map(async (name) => {
    const path = join(folder, "context", name)
    const stats = await lstat(path)
    const kind = stats.isSymbolicLink() ? "link" : stats.isDirectory() ? "folder" : "file"
    const bytes = FILES[name as keyof typeof FILES] ?? ""
    const content =
      kind === "folder" ? "" : kind === "link" ? sha256(await readlink(path)) : digestOf(Buffer.from(bytes))
    return `${JSON.stringify([name, kind, stats.mode & 0o777, content])}\n`
  })
  return sha256((await Promise.all(lines)).sort().join(""))
}

/** The digests of the layers above those of a machine: so many, each of qcow2. */
export async function layersOn(base: string, { manifest }: Built, count: number): Promise<readonly string[]> {
  const { diskLayers: below } = await documentOf(await readLayout(base))
  const all: readonly Document[] = manifest.diskLayers
  must(
    below.every(({ ref }: Document, at: number) => all[at]?.ref === ref),
    "its first layers are not those of its base",
  )
  const own = all.slice(below.length)
  must(own.length === count, `${count} steps have written, and there are ${own.length} layers more`)
  for (const { format } of own) must(format === "qcow2", `a layer of a step is of format ${format}`)
  return own.map(({ ref }) => ref)
}

/** What was copied, and each step with the layer that it made, by stage and line. */
export async function writtenDown(
  bench: Bench,
  layers: readonly string[],
  wanted: readonly (readonly [stage: string | undefined, line: number])[],
): Promise<void> {
  const { said } = await provenanceIn(bench)
  const [, digest] = dependenciesOf(said).find(([part]) => part === "context") ?? []
  const context = await digestOfContext(bench)
  must(digest === context, `the digest of the context is ${digest}, and not ${context}`)
  const steps: readonly Document[] = said.buildDefinition.internalParameters?.steps ?? []
  for (const { stage, line, step } of steps)
    must(stage !== undefined && line > 0 && step, `of a step it is not said which one it is: ${line} ${step}`)
  const wrote = steps.filter(({ layer }) => layer !== undefined)
  const lines = wrote.map(({ line, layer }) => `${line} ${layer}`)
  const due = wanted.map(([, line], at) => `${line} ${layers[at]}`)
  must(lines.join() === due.join(), `steps that wrote are ${lines}, and not ${due}`)
  for (const [at, [stage]] of wanted.entries())
    must(
      stage === undefined || wrote[at]?.stage === stage,
      `line ${wanted[at]?.[1]} is of ${wrote[at]?.stage}`,
    )
}
