import { delimiter, join } from "node:path"
import { isProgram } from "../../host/program.ts"

/** What adapters may be called (OVMS-ADP-001). */
const NAME = /^[a-z][a-z0-9-]{0,31}$/

/** Whether an adapter could have that name. */
export function isAdapterName(name: string): boolean {
  return NAME.test(name)
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
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder.startsWith("/"))
  return folders.map((folder) => join(folder, programOf(name))).find(isProgram)
}
