import { readFile } from "node:fs/promises"
import { join, posix } from "node:path"
import { Glob } from "bun"

export const ROOT = join(import.meta.dirname, "../..")

export function read(path: string): Promise<string> {
  return readFile(join(ROOT, path), "utf8")
}

/** Names of the documents in `folder`, sorted. */
export async function documentsIn(folder: string): Promise<string[]> {
  const names = await Array.fromAsync(new Glob("*.md").scan({ cwd: join(ROOT, folder) }))
  return names.filter((name) => name !== "README.md").sort()
}

/** Those that the table of contents of spec/README.md names, in its order. */
export async function specDocuments(): Promise<string[]> {
  const named = (await read("spec/README.md")).matchAll(/^\| \[[^\]]+\]\(([a-z/-]+\.md)\)/gm)
  return Array.from(named, ([, name = ""]) => name)
}

/**
 * Where a link of the document `from` leads: its path from the repository's root and what comes behind `#`; undefined
 * for one that leads elsewhere.
 */
export function target(from: string, href: string): { path: string; part: string } | undefined {
  if (/^[a-z]+:/.test(href)) return undefined
  const [path = "", part = ""] = href.split("#")
  return { path: path === "" ? from : posix.normalize(posix.join(posix.dirname(from), path)), part }
}
