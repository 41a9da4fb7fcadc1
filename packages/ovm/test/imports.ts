import { dirname, join, normalize } from "node:path"

/**
 * Which folders of packages/ovm/src a folder builds on (docs/architecture.md). What those build on is allowed too.
 * Files directly in src/ (errors, version) build on spec/ and files/ alone, and everything may build on them. Every
 * other package but testkit is for others, and builds on spec/ alone.
 */
const BUILDS_ON: Readonly<Record<string, readonly string[]>> = {
  host: [],
  files: ["host"],
  content: ["files"],
  registry: ["content"],
  "registry-server": ["registry"],
  artifact: ["ram"],
  signing: ["artifact"],
  ram: ["content"],
  cache: ["content"],
  disk: ["content"],
  convert: ["disk"],
  build: ["content"],
  network: ["host"],
  vmm: ["disk", "network", "cache"],
  guest: [],
  images: ["artifact", "registry", "signing", "disk", "ram", "cache"],
  runtime: ["images", "vmm", "guest"],
  supply: ["signing", "disk"],
  api: ["runtime"],
  compose: ["network", "artifact"],
  cli: ["api", "supply", "convert", "registry-server", "compose", "build"],
}

const SOURCE = "packages/ovm/src/"

/** Folders that say things in the words of the wire, whose source is @ovms/client. */
const API: ReadonlySet<string> = new Set(["api", "runtime"])

/** Files that are no source of ovm's, and part of the program. */
const EMBEDDED: ReadonlySet<string> = new Set([
  "packages/ovm/package.json",
  "packages/shim/dist/ovm-keeper",
  "packages/filter/dist/ovm-filter",
  "packages/forward/dist/ovm-forward",
  "packages/tap/dist/ovm-tap",
  "packages/agent/dist/ovm-agent",
  "packages/agent/install.sh",
  "packages/agent/ovm-agent.openrc",
  "packages/agent/ovm-agent.service",
])

export const folders: readonly string[] = Object.keys(BUILDS_ON)

/** True for tests, suites that several tests share, and what tests are helped by. */
export function isTest(file: string): boolean {
  return /\.(test|suite|testing)\.tsx?$/.test(file)
}

/** Every module specifier in a source text, those of types too, which a transpiler would drop. */
export function specifiers(text: string): string[] {
  return [...text.matchAll(/(?<![."/-])\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g)].map(
    ([, name = ""]) => name,
  )
}

/** What `file` (a path from the repository's root) imports against the rules, each as one sentence. */
export function violations(file: string, text: string): string[] {
  const test = isTest(file)
  return specifiers(text).flatMap((specifier) => {
    const target = specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : specifier
    const reason = refusal(file, target, test)
    return reason ? [`${file} imports ${specifier}: ${reason}`] : []
  })
}

function refusal(file: string, target: string, test: boolean): string | undefined {
  if (target.startsWith("spec/")) return "it is called @ovms/spec"
  if (target.startsWith("packages/testkit/")) return "it is called @ovms/testkit"
  if (target.startsWith("@ovms/testkit/")) return test ? undefined : "only tests may use testkit"
  if (!file.startsWith(SOURCE)) return test ? undefined : refusalOutside(file, target)
  if (target.startsWith("@ovms/client"))
    return test || API.has(folderOf(file) ?? "") ? undefined : "only api/ and runtime/ speak the API"
  if (!target.startsWith("packages/") || test) return undefined
  if (!target.startsWith(SOURCE)) return EMBEDDED.has(target) ? undefined : "it is not part of ovm's sources"
  if (isTest(target)) return "it is a test"
  const from = folderOf(file)
  const to = folderOf(target)
  if (to === undefined || from === to) return undefined
  if (from === undefined)
    return to === "files" ? undefined : `files directly in src/ build on no folder but files/`
  return reachable(from).has(to) ? undefined : `${from}/ does not build on ${to}/`
}

/** A package that others install builds on the specification alone, and needs no other package. */
function refusalOutside(file: string, target: string): string | undefined {
  const [home = ""] = /^packages\/[^/]+\/src\//.exec(file) ?? []
  if (/^(node:|@ovms\/spec\/)/.test(target)) return undefined
  if (home !== "" && (target.startsWith(home) || target === home.replace(/src\/$/, "package.json")))
    return undefined
  return "a package for others builds on spec/ alone"
}

/** The folder of src/ that a file is in; undefined directly in src/. */
function folderOf(file: string): string | undefined {
  const [folder, ...rest] = file.slice(SOURCE.length).split("/")
  return rest.length > 0 ? folder : undefined
}

function reachable(folder: string): Set<string> {
  const all = new Set(BUILDS_ON[folder])
  for (const next of all) for (const further of BUILDS_ON[next] ?? []) all.add(further)
  return all
}

/** The rules as docs/architecture.md draws them. */
export function diagram(): string {
  const arrows = Object.entries(BUILDS_ON)
    .filter(([, below]) => below.length > 0)
    .map(([folder, below]) => `  ${folder} --> ${below.join(" & ")}`)
  return ["```mermaid", "flowchart BT", ...arrows.toReversed(), "```"].join("\n")
}

/**
 * Files of `texts` (by their paths) that import each other in circles, types too: each circle once, as the way round
 * from its first file in the order of the alphabet.
 */
export function circles(texts: ReadonlyMap<string, string>): string[] {
  const found = new Set<string>()
  const done = new Set<string>()
  const walk = (file: string, way: readonly string[]): void => {
    const start = way.indexOf(file)
    if (start >= 0) {
      const round = way.slice(start)
      const first = round.indexOf([...round].sort()[0] ?? file)
      const turned = [...round.slice(first), ...round.slice(0, first)]
      found.add([...turned, turned[0]].join(" → "))
    }
    if (start >= 0 || done.has(file)) return
    for (const next of importsOf(file, texts)) walk(next, [...way, file])
    done.add(file)
  }
  for (const file of [...texts.keys()].sort()) walk(file, [])
  return [...found]
}

function importsOf(file: string, texts: ReadonlyMap<string, string>): string[] {
  const targets = specifiers(texts.get(file) ?? "").filter((name) => name.startsWith("."))
  return targets.map((name) => normalize(join(dirname(file), name))).filter((name) => texts.has(name))
}
