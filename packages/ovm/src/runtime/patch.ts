import type { InstanceInfo } from "./interfaces.ts"

type Facts = Omit<InstanceInfo, "instance_id" | "state">

/** What else the status says; what is undefined here it says no longer. */
export type Patch = { readonly [Name in keyof Facts]?: Facts[Name] | undefined }

/** `info` with `patch`. */
export function patched(info: InstanceInfo, patch: Patch): InstanceInfo {
  const said = Object.entries({ ...info, ...patch }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(said) as unknown as InstanceInfo
}
