import { readFile, stat } from "node:fs/promises"
import { join, relative } from "node:path"
import { Glob } from "bun"

// Which files there are to run, and which of them side by side.

/** What bun takes for a file of tests. */
const TESTS = new Glob("**/*{.test,_test,.spec,_spec}.{ts,tsx,mts,cts,js,jsx,mjs,cjs}")

/**
 * A comment of a file, with its reason behind it: `alone`, what other tests would disturb or be disturbed by, once all
 * others have ended; `first`, what takes so long that everybody would wait for it in the end, the longest before the
 * others: `first, 18 min`, on two processors that all tests share.
 */
const LANE = /^\/\/ Lane: (\w+)(?:, (\d+) min)?\W/m

export interface Plan {
  /** Side by side, in this order. */
  readonly together: readonly string[]
  /** One after the other, after those. */
  readonly alone: readonly string[]
}

/** The files of tests at and below `paths`, relative to `root` where they are below it. */
export async function planOf(root: string, paths: readonly string[]): Promise<Plan> {
  const files = new Set<string>()
  for (const path of paths) for (const file of await filesAt(root, path)) files.add(file)
  const lanes: Record<string, string[]> = { first: [], together: [], alone: [] }
  const minutes = new Map<string, number>()
  for (const file of files) {
    const [, name = "together", long = 0] = LANE.exec(await readFile(join(root, file), "utf8")) ?? []
    const lane = lanes[name]
    if (!lane) throw new Error(`${file}: there is no lane ${name}`)
    lane.push(file)
    minutes.set(file, Number(long))
  }
  const { first = [], together = [], alone = [] } = lanes
  const long = (file: string) => minutes.get(file) ?? 0
  return { together: [...first.sort((a, b) => long(b) - long(a)), ...together], alone }
}

async function filesAt(root: string, path: string): Promise<string[]> {
  const full = join(root, relative(root, path.startsWith("/") ? path : join(root, path)))
  if ((await stat(full)).isFile()) return [relative(root, full)]
  const found = await Array.fromAsync(TESTS.scan({ cwd: full }))
  return found
    .filter((name) => !name.split("/").includes("node_modules"))
    .sort()
    .map((name) => relative(root, join(full, name)))
}
