import type { Command } from "commander"
import { type LoadOptions as LoadCall, type LoadedEntry, loadArchive } from "../../../content/archive/load.ts"
import type { Digest } from "../../../content/digest.ts"
import type { Bytes } from "../../../content/interfaces.ts"
import type { LayoutStore } from "../../../content/layout/store.ts"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { enterSnapshots, subjectsOf } from "../../../images/along.ts"
import { machinesBehind } from "../../../images/behind.ts"
import { readRoot } from "../../../images/root.ts"
import { takeIn } from "../../../images/take-in.ts"
import { parseReference } from "../../../registry/reference.ts"
import { parseLegacyTag } from "../../../signing/legacy/tags.ts"
import { argumentBytes } from "../../argument-file.ts"
import { interruptible } from "../../interrupt.ts"
import { storeName } from "../../names.ts"
import { isTerminal, print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
import { openProgress } from "../../terminal/progress.ts"

interface LoadOptions {
  readonly input: string
  readonly name?: string
  readonly json?: boolean
}

interface Loaded {
  readonly reference: string
  readonly digest: string
}

export function define(command: Command): void {
  command
    .description(
      "Take the images out of a file that ovm save or another tool wrote: the tar archive of an OCI layout. All " +
        "of it is checked before anything gets a name. `-` is standard input.",
    )
    .requiredOption("-i, --input <file>", "what to read; - for standard input")
    .option("--name <image>", "what to call the image, where the archive says no more than a tag")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm load -i machines.tar", "ovm load -i from-skopeo.tar --name debian:13")
}

async function run(options: LoadOptions): Promise<void> {
  const { input, name } = options
  if (input === "-" && isTerminal("stdin"))
    throw new OvmError("OVM_USAGE", "standard input is a terminal", { hint: "ovm load -i FILE" })
  const given = name === undefined ? undefined : storeName(name)
  const loaded = await interruptible(async (signal) => {
    using progress = await openProgress()
    const { onProgress } = progress
    return await takeIn(paths(), { durable: true }, (store) =>
      load(store, input, given, { signal, onProgress }),
    )
  })
  if (options.json) printJson(loaded)
  else print(loaded.map(({ reference, digest }) => `${digest}  ${reference}\n`).join(""))
}

async function load(
  store: LayoutStore,
  input: string,
  given: string | undefined,
  options: LoadCall,
): Promise<Loaded[]> {
  const call = options.signal ? { signal: options.signal } : {}
  const piped = input === "-"
  const what = piped ? "standard input" : input
  const content: Bytes = piped ? process.stdin : argumentBytes(input, call)
  const all = await loadArchive(store, content, what, options)
  const evidence = all.filter(({ name }) => subjectOf(name) !== undefined)
  const named = nameAll(
    all.filter((entry) => !evidence.includes(entry)),
    given,
    what,
  )
  // What could not be run is not named, so that an archive is taken whole or not at all.
  for (const { target } of named)
    for (const found of await machinesBehind(store, target, { allPlatforms: true, ...call }))
      await readRoot(store, found.target, call)
  for (const { target, name } of named) {
    await store.tag(target, name, call)
    const subjects = await subjectsOf(store, target, call)
    const { name: repository } = parseReference(name)
    for (const one of evidence)
      if (subjects.includes(subjectOf(one.name) as Digest))
        await store.tag(one.target, `${repository}:${tagIn(one.name)}`, call)
  }
  const roots = named.map(({ target }) => target)
  await enterSnapshots(store, roots, call)
  return named.map(({ name, target }) => ({ reference: name, digest: target.digest }))
}

type Named = Required<LoadedEntry>

/** What evidence in Cosign's older form is about, which has a name but is no image. */
function subjectOf(name: string | undefined): Digest | undefined {
  return parseLegacyTag(tagIn(name))?.subject
}

function tagIn(name = ""): string {
  return name.slice(name.lastIndexOf(":") + 1)
}

/**
 * Names are whole references; what other tools write as a name is often a tag alone. Referrers have none and get
 * none.
 */
function nameAll(entries: readonly LoadedEntry[], given: string | undefined, what: string): Named[] {
  const candidates = entries.filter(({ name }) => name !== undefined)
  const images = candidates.length > 0 ? candidates : entries
  const digests = new Set(images.map(({ target }) => target.digest))
  if (given !== undefined) {
    const [only] = images
    if (only && digests.size === 1) return [{ name: given, target: only.target }]
    throw new OvmError(
      "OVM_ARTIFACT_INVALID",
      `${what} has ${digests.size} images, so --name says too little`,
      {
        hint: `ovm copy oci-archive:${what}:TAG NAME`,
      },
    )
  }
  return images.map(({ name, target }) => {
    if (name !== undefined && /[/:]/.test(name)) return { name: parseReference(name).toString(), target }
    const called =
      name === undefined ? "nothing" : `${JSON.stringify(name)}, which is a tag without a repository`
    throw new OvmError("OVM_ARTIFACT_INVALID", `${what} calls ${target.digest} ${called}`, {
      hint: `ovm load -i ${what} --name NAME${name === undefined ? "" : `:${name}`}`,
    })
  })
}
