import { readdirSync } from "node:fs"
import { delimiter, join } from "node:path"
import { isProgram } from "../../host/program.ts"

/** What adapters may be called (OVMS-ADP-001). */
const NAME = /^[a-z][a-z0-9-]{0,31}$/

/** Whether an adapter could have that name. */
export function isAdapterName(name: string): boolean {
  return NAME.test(name)
}

/** What to say of one that it could not have. */
export function noAdapterName(name: string): string {
  return `no VMM is called ${JSON.stringify(name.slice(0, 100))}: a lower-case letter, then up to 31 of those, digits and hyphens`
}

/** The file by which the adapter of `name` is executed. */
export function programOf(name: string): string {
  return `ovm-vmm-${name}`
}

/** The first adapter of that name on PATH; undefined if there is none. Folders that are not absolute do not count. */
export function findAdapter(
  name: string,
  env: Record<string, string | undefined> = process.env,
): string | undefined {
  return foldersOf(env)
    .map((folder) => join(folder, programOf(name)))
    .find(isProgram)
}

/** The names of all adapters on PATH, in order. None of them is executed. */
export function adaptersOnPath(env: Record<string, string | undefined> = process.env): readonly string[] {
  const prefix = programOf("")
  const names = foldersOf(env)
    .flatMap(filesIn)
    .filter((file) => file.startsWith(prefix))
    .map((file) => file.slice(prefix.length))
  return [...new Set(names)].filter((name) => isAdapterName(name) && findAdapter(name, env)).sort()
}

function foldersOf(env: Record<string, string | undefined>): readonly string[] {
  return (env.PATH ?? "").split(delimiter).filter((folder) => folder.startsWith("/"))
}

/** None of a folder that is not there, or that nobody may look into. */
function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
