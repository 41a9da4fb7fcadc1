import type { InstanceInfo, Runtime } from "../../runtime/interfaces.ts"

const PREFIX = "org.ovms.compose"

/** What an instance is labelled with that belongs to a project: all that later commands know of it. */
export const LABELS = {
  project: `${PREFIX}.project`,
  machine: `${PREFIX}.machine`,
  /** Digest of what it was made of. */
  definition: `${PREFIX}.definition`,
  /** Names of the machines that it depends on, with commas. */
  needs: `${PREFIX}.depends-on`,
} as const

/** An instance of a project. */
export interface Member {
  readonly machine: string
  readonly needs: readonly string[]
  readonly definition: string | undefined
  readonly info: InstanceInfo
}

export function instanceName(project: string, machine: string): string {
  return `${project}-${machine}`
}

/** Those on record that belong to the project, by the name of the machine. */
export async function membersOf(
  runtime: Runtime | undefined,
  project: string,
): Promise<ReadonlyMap<string, Member>> {
  const all = (await runtime?.list()) ?? []
  const found = all.flatMap((info): [string, Member][] => {
    const { [LABELS.project]: of, [LABELS.machine]: machine } = info.labels ?? {}
    if (of !== project || machine === undefined) return []
    const needs = info.labels?.[LABELS.needs] ?? ""
    return [
      [
        machine,
        {
          machine,
          needs: needs.split(",").filter(Boolean),
          definition: info.labels?.[LABELS.definition],
          info,
        },
      ],
    ]
  })
  return new Map(found)
}
