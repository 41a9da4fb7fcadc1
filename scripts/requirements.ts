/**
 * Writes spec/requirements.json from the text of the specification, the vectors and the tests: `bun
 * scripts/requirements.ts`, or scripts/generate.ts together with all else. The exit status is 1 if the text is at
 * fault.
 */
import { readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"

const ROOT = join(import.meta.dirname, "..")

export interface Requirement {
  readonly id: string
  readonly document: string
  readonly section: string
  readonly level: "MUST" | "SHOULD" | "MAY"
  readonly text: string
  /** Vectors and tests that name it, or "pending". */
  readonly check: readonly string[] | "pending"
}

interface Parsed {
  readonly requirements: readonly Omit<Requirement, "check">[]
  /** What is wrong with the text itself, each as a sentence with file and line. */
  readonly problems: readonly string[]
}

const LINE = /^(?:- )?\[(OVMS-[A-Z]{3}-\d{3})\] (.+)$/
const PREFIXES: Readonly<Record<string, readonly string[]>> = {
  "manifest.md": ["MAN"],
  "oci-mapping.md": ["OCI"],
  "media-types.md": ["OCI"],
  "disk.md": ["DSK"],
  "pack-source.md": ["SRC"],
  "import.md": ["IMP"],
  "references.md": ["REF"],
  "runtime-api.md": ["API"],
  "instance-states.md": ["STA"],
  "first-boot.md": ["FBC"],
  "volumes.md": ["VOL"],
  "shares.md": ["SHR"],
  "networks.md": ["NET"],
  "agent.md": ["AGT"],
  "errors.md": ["ERR"],
  "limits.md": ["LIM"],
  "security.md": ["SEC"],
  "snapshot.md": ["SNP"],
  "provenance.md": ["PRV"],
  "signing.md": ["SIG"],
  "policy.md": ["POL"],
  "guest.md": ["GST"],
  "devices.md": ["DEV"],
  "uefi.md": ["UEF"],
  "platforms.md": ["IDX"],
  "building.md": ["BLD"],
  "distribution.md": ["DST"],
  "versioning.md": ["VER"],
  "conformance.md": ["CNF"],
  "runtimes/adapter.md": ["ADP"],
}

/** Finds the requirements of one document. Fenced blocks and tables hold none. */
export function parseDocument(document: string, text: string): Parsed {
  const requirements: Omit<Requirement, "check">[] = []
  const problems: string[] = []
  let section = ""
  let fenced = false
  for (const [index, line] of text.split("\n").entries()) {
    const at = `${document}:${index + 1}`
    if (line.startsWith("```")) fenced = !fenced
    if (fenced) continue
    const heading = /^#+ (.+)$/.exec(line)?.[1]
    if (heading) section = heading
    const [, id, sentence] = LINE.exec(line) ?? []
    if (!id || !sentence) {
      if (/\bMUST\b|\bSHALL\b|\bREQUIRED\b/.test(line) && document !== "README.md")
        problems.push(`${at} has a MUST without an ID`)
      continue
    }
    if (!PREFIXES[document]?.includes(id.slice(5, 8)))
      problems.push(`${at}: ${id} does not belong into this document`)
    const level = (["MUST", "SHOULD", "MAY"] as const).find((word) =>
      new RegExp(`\\b${word}\\b`).test(sentence),
    )
    if (!level) problems.push(`${at}: ${id} has no word of RFC 2119`)
    else requirements.push({ id, document, section, level, text: sentence.replace(/\]\([^)]*\)/g, "]") })
  }
  return { requirements, problems }
}

/** The whole list, and what is wrong with the text. */
export async function collect(): Promise<{ readonly content: string; readonly problems: readonly string[] }> {
  const documents = (await readdir(join(ROOT, "spec"), { recursive: true }))
    .filter((name) => name.endsWith(".md") && !name.startsWith("vectors"))
    .sort()
  const parsed = await Promise.all(
    documents.map(async (name) => parseDocument(name, await readFile(join(ROOT, "spec", name), "utf8"))),
  )
  const problems = parsed.flatMap((one) => one.problems)
  const all = parsed.flatMap((one) => one.requirements).sort((a, b) => (a.id < b.id ? -1 : 1))
  for (const [index, { id }] of all.entries())
    if (all[index + 1]?.id === id) problems.push(`${id} is used twice`)
  const checks = await checksByRequirement()
  for (const id of checks.keys())
    if (!all.some((one) => one.id === id)) problems.push(`${id} is cited, but no document has it`)
  const list: Requirement[] = all.map((one) => ({ ...one, check: checks.get(one.id) ?? "pending" }))
  return { content: `${JSON.stringify(list, undefined, 2)}\n`, problems }
}

interface Subject {
  readonly covers?: readonly string[]
  readonly requirement?: string
}

/** By ID: every vector whose subject it is, every test file and every check of conformance that names it. */
async function checksByRequirement(): Promise<Map<string, string[]>> {
  const checks = new Map<string, string[]>()
  const add = (id: string, check: string) => {
    const known = checks.get(id) ?? []
    if (!known.includes(check)) checks.set(id, [...known, check].sort())
  }
  for (const folder of ["spec/vectors/valid", "spec/vectors/invalid"])
    for (const name of await readdir(join(ROOT, folder))) {
      const vector = JSON.parse(await readFile(join(ROOT, folder, name), "utf8")) as Subject
      for (const id of vector.covers ?? [vector.requirement ?? []].flat()) add(id, `${folder}/${name}`)
    }
  const files = (await readdir(join(ROOT, "packages"), { recursive: true })).filter(
    (name) =>
      (/\.(test|suite)\.ts$/.test(name) || /^conformance\/src\/checks\/.*\.ts$/.test(name)) &&
      !name.includes("node_modules"),
  )
  for (const name of files) {
    const text = await readFile(join(ROOT, "packages", name), "utf8")
    for (const [id] of text.matchAll(/OVMS-[A-Z]{3}-\d{3}/g)) add(id, `packages/${name}`)
  }
  return checks
}

if (import.meta.main) {
  const { content, problems } = await collect()
  for (const problem of problems) console.error(problem)
  await writeFile(join(ROOT, "spec/requirements.json"), content)
  process.exit(problems.length === 0 ? 0 : 1)
}
