import { ownName, type Project } from "../../compose/project.ts"
import { type ErrorCode, OvmError } from "../../errors.ts"
import type { Runtime } from "../../runtime/interfaces.ts"
import type { Tell } from "./report.ts"

/** What belongs to a project beside its machines, and is there without them. */
export type Belonging = "volume" | "network"

const GONE: Readonly<Record<Belonging, ErrorCode>> = {
  volume: "OVM_VOLUME_UNKNOWN",
  network: "OVM_NETWORK_UNKNOWN",
}

/** The names of those that the file does not call external. */
export function belongings(project: Project, kind: Belonging): readonly string[] {
  const entries = kind === "volume" ? project.volumes : project.networks
  return Object.entries(entries).flatMap(([key, entry]) =>
    entry.external ? [] : [ownName(project.name, key, entry)],
  )
}

/** Deletes those that are there. Gives back what was deleted; what fails is added to `failures` by its name. */
export async function deleteAll(
  runtime: Runtime,
  { kind, names }: { readonly kind: Belonging; readonly names: readonly string[] },
  { tell, failures }: { readonly tell: Tell; readonly failures: Map<string, unknown> },
): Promise<readonly string[]> {
  const deleted: string[] = []
  for (const name of names)
    try {
      await (kind === "volume" ? runtime.removeVolume(name) : runtime.removeNetwork(name))
      deleted.push(name)
      tell(name, `${kind} deleted`)
    } catch (thrown) {
      if (!(thrown instanceof OvmError && thrown.code === GONE[kind])) failures.set(name, thrown)
    }
  return deleted
}
