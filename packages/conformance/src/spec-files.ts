import { readdir, readFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/**
 * Every file of spec/vectors by its path in there. In the program of one file this module is replaced by one that has
 * them inside (scripts/build-conformance.ts).
 */
export async function vectorFiles(): Promise<Readonly<Record<string, string>>> {
  const folder = join(dirname(fileURLToPath(import.meta.resolve("@ovms/spec/errors.json"))), "vectors")
  const files: Record<string, string> = {}
  for (const side of ["valid", "invalid"])
    for (const name of (await readdir(join(folder, side))).sort())
      files[`${side}/${name}`] = await readFile(join(folder, side, name), "utf8")
  return files
}
