import type { Platform } from "../artifact/platforms/platform.ts"

/** What a file of machines says, as its schema has it (schema.json, docs/compose.md). */
export interface ProjectFile {
  readonly name?: string
  readonly machines: Readonly<Record<string, MachineEntry>>
  readonly volumes?: Readonly<Record<string, VolumeEntry | null>>
  readonly networks?: Readonly<Record<string, NamedNetworkEntry | null>>
}

export interface MachineEntry {
  readonly image: string
  readonly pull_policy?: "missing" | "always" | "never"
  readonly resources?: {
    readonly cpus?: number
    readonly cpu_quota?: number
    readonly memory?: string
    readonly disk_size?: string
  }
  readonly ports?: readonly (string | number)[]
  readonly volumes?: readonly string[]
  readonly network?: "user" | "none" | NetworkEntry
  /** One of the file's, by its name there. */
  readonly networks?: readonly [string]
  readonly config?: {
    readonly hostname?: string
    readonly ssh_keys?: readonly string[]
    readonly ssh_user?: string
    readonly user_data?: string
    readonly meta_data?: string
    readonly network_config?: string
    readonly ignition?: string
  }
  readonly command?: string | readonly string[]
  readonly environment?: readonly string[] | Readonly<Record<string, string | number | boolean | null>>
  readonly user?: string | number
  readonly working_dir?: string
  readonly restart?: string
  readonly standby_after?: string
  readonly agent?: boolean
  readonly platform?: Platform
  readonly resume?: boolean
  readonly read_only?: boolean
  readonly args?: string
  readonly vmm?: string
  readonly labels?: Readonly<Record<string, string | number | boolean>>
  readonly depends_on?:
    | readonly string[]
    | Readonly<Record<string, { readonly condition?: DependsCondition }>>
  readonly healthcheck?: HealthEntry
}

export interface NetworkEntry {
  readonly mode?: "user" | "none"
  readonly outbound?: boolean
  readonly allow?: readonly string[]
}

/** Of what belongs to the project, or is there already. */
interface OwnEntry {
  readonly name?: string
  readonly external?: boolean
}

export interface VolumeEntry extends OwnEntry {
  readonly size?: string
}

/** A network that machines share. */
export interface NamedNetworkEntry extends OwnEntry {
  readonly internal?: boolean
  readonly subnet?: string
  readonly ipv6?: boolean
  readonly ipv6_subnet?: string
}

/** Docker's words for when a machine that another one depends on is there. */
export type DependsCondition = "service_started" | "service_healthy" | "service_completed_successfully"

export interface HealthEntry {
  readonly tcp?: number
  readonly http?: { readonly port: number; readonly path?: string }
  readonly exec?: string | readonly string[]
  readonly log?: string
  readonly ready?: true
  readonly interval?: string
  readonly timeout?: string
  readonly start_period?: string
  readonly retries?: number
}

export const PROBES = ["tcp", "http", "exec", "log", "ready"] as const

/** A file that was read, checked whole. */
export interface Project {
  readonly name: string
  /** Path of the file, and of the folder that its paths are relative to. */
  readonly path: string
  readonly base: string
  readonly machines: Readonly<Record<string, MachineEntry>>
  readonly volumes: Readonly<Record<string, VolumeEntry>>
  readonly networks: Readonly<Record<string, NamedNetworkEntry>>
  /** What the environment, or `.env` beside the file, says. */
  readonly variable: (name: string) => string | undefined
  /** Refuses what is found out later about a place in the file, as if it had been found when it was read. */
  readonly refuse: (pointer: string, message: string) => never
}

/** What `machine` waits for, by name. */
export function dependenciesOf({ depends_on = {} }: MachineEntry): ReadonlyMap<string, DependsCondition> {
  if (Array.isArray(depends_on))
    return new Map((depends_on as readonly string[]).map((name) => [name, "service_started"]))
  const entries = Object.entries(depends_on as Record<string, { condition?: DependsCondition }>)
  return new Map(entries.map(([name, { condition = "service_started" }]) => [name, condition]))
}

/** A command as the guest executes it: a line is its shell's. */
export function commandOf(command: string | readonly string[]): readonly string[] {
  return typeof command === "string" ? ["sh", "-c", command] : command
}

/** As NAME and VALUE; undefined where that is to be the value here. */
export function environmentOf({ environment = [] }: MachineEntry): readonly (readonly [string, string?])[] {
  if (!Array.isArray(environment))
    return Object.entries(environment).map(([name, value]) => (value === null ? [name] : [name, `${value}`]))
  return (environment as readonly string[]).map((text) => {
    const at = text.indexOf("=")
    return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
  })
}

/** A volume's or network's own name: that of the file belongs to the project. */
export function ownName(project: string, name: string, entry: OwnEntry): string {
  return entry.name ?? (entry.external ? name : `${project}_${name}`)
}
