import { cp, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { MACHINE, OVM, output } from "./programs.ts"

/** What the demo machine says first of its own. */
export const FIRST_LINE = "OVM-USERSPACE"

/**
 * Packs the demo machine as `name`, which here powers off by itself once it has said its lines; `more` is put over its
 * pack source.
 */
export async function packDemo(
  env: NodeJS.ProcessEnv,
  home: string,
  name: string,
  more: object = {},
): Promise<void> {
  const source = JSON.parse(await readFile(join(MACHINE, "machine.json"), "utf8"))
  source.kernel.args += " ovm.exit"
  const folder = join(home, "machine")
  await cp(MACHINE, folder, { recursive: true })
  await writeFile(join(folder, "machine.json"), JSON.stringify({ ...source, ...more }))
  output([OVM, "pack", "-f", join(folder, "machine.json"), "-t", name], env)
}
