/**
 * Writes the documentation as a site that needs no server and no network, to dist/site: guides, reference and
 * specification out of their sources. `bun scripts/site/site.ts`; with `--spec` only the specification as one page.
 */
import { statSync } from "node:fs"
import { cp, mkdir, rm, writeFile } from "node:fs/promises"
import { dirname, join, posix } from "node:path"
import { apiDocument } from "./api.ts"
import { commandDocuments } from "./commands.ts"
import { errorsDocument } from "./errors.ts"
import { render } from "./markdown.ts"
import { type Page, type Part, pageHtml, SEARCH, searchIndex } from "./page.ts"
import { documentsIn, ROOT, read, specDocuments, target } from "./sources.ts"
import { specHtml } from "./spec.ts"

/** A document, where it is on the site, and where its links begin. */
interface Source {
  /** From the repository's root; of one that is made, where it would be. */
  readonly path: string
  readonly text: string
}

/** Beginners first; the rest as it is found. */
const FIRST = [
  "getting-started.md",
  "building-a-disk.md",
  "importing.md",
  "platforms.md",
  "building.md",
  "network.md",
  "disks.md",
  "exec.md",
  "operating.md",
]

/** Path on the site → content. Links to files that are no pages lead to copies of them, whose paths are in `files`. */
export async function siteFiles(): Promise<{ pages: Map<string, string>; files: Files }> {
  const parts = await sources()
  const known = new Map(parts.flatMap(({ documents }) => documents.map(({ path }) => [path, htmlOf(path)])))
  const files = new Files()
  const built: Part[] = parts.map(({ title, documents }) => ({
    title,
    pages: documents.map((source) => pageOf(source, known, files)),
  }))
  const pages = new Map<string, string>()
  for (const { pages: of } of built) for (const page of of) pages.set(page.path, pageHtml(page, built))
  pages.set("search-index.js", searchIndex(built))
  pages.set("search.js", SEARCH)
  pages.set("spec.html", await wholeSpec(files))
  return { pages, files }
}

/** What pages link to and is none of them. */
class Files extends Set<string> {
  /** Its path on the site, where it is a copy; undefined for a folder, which a site cannot show. */
  linked(path: string): string | undefined {
    if (!statSync(join(ROOT, path)).isFile()) return undefined
    this.add(path)
    return path
  }
}

function wholeSpec(files: Files): Promise<string> {
  return specHtml((path) => files.linked(path))
}

async function sources(): Promise<{ title: string; documents: Source[] }[]> {
  const all = (folder: string, names: readonly string[]) =>
    Promise.all(
      names.map(async (name) => ({ path: `${folder}/${name}`, text: await read(`${folder}/${name}`) })),
    )
  const guides = await documentsIn("docs")
  const ordered = [...FIRST, ...guides.filter((name) => !FIRST.includes(name))]
  const commands = Array.from(await commandDocuments(), ([name, text]) => ({
    path: `commands/${name}.md`,
    text,
  }))
  return [
    { title: "Overview", documents: [{ path: "README.md", text: await read("README.md") }] },
    { title: "Guides", documents: await all("docs", ordered) },
    { title: "Commands", documents: commands },
    {
      title: "Reference",
      documents: [
        { path: "reference/api.md", text: await apiDocument() },
        { path: "reference/errors.md", text: await errorsDocument() },
        { path: "CHANGELOG.md", text: await read("CHANGELOG.md") },
      ],
    },
    { title: "Specification", documents: await all("spec", ["README.md", ...(await specDocuments())]) },
    {
      title: "Conformance",
      documents: await all("docs/conformance", ["README.md", ...(await documentsIn("docs/conformance"))]),
    },
    {
      title: "Design",
      documents: await all("docs/design", ["README.md", ...(await documentsIn("docs/design"))]),
    },
  ]
}

function htmlOf(path: string): string {
  return path.replace(/README\.md$/, "index.md").replace(/\.md$/, ".html")
}

function pageOf(source: Source, known: ReadonlyMap<string, string>, files: Files): Page {
  const path = htmlOf(source.path)
  const link = (href: string) => {
    const to = target(source.path, href)
    if (!to) return href
    const page = known.get(to.path) ?? files.linked(to.path)
    if (page === undefined) return undefined
    const relative = posix.relative(posix.dirname(path), page)
    return `${relative === posix.basename(path) && to.part !== "" ? "" : relative}${to.part === "" ? "" : `#${to.part}`}`
  }
  const { html, sections } = render(source.text, { link })
  return { path, title: sections[0]?.title ?? source.path, html, sections }
}

if (import.meta.main) {
  const into = join(ROOT, "dist/site")
  const onlySpec = process.argv.includes("--spec")
  const files = new Files()
  const site = onlySpec
    ? { pages: new Map([["spec.html", await wholeSpec(files)]]), files }
    : await siteFiles()
  if (!onlySpec) await rm(into, { recursive: true, force: true })
  for (const [path, content] of site.pages) {
    await mkdir(dirname(join(into, path)), { recursive: true })
    await writeFile(join(into, path), content)
  }
  for (const path of site.files) await cp(join(ROOT, path), join(into, path))
  console.log(`dist/site/${onlySpec ? "spec" : "index"}.html`)
}
