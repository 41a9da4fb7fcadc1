import { join } from "node:path"
import { textIfPresent } from "../files/present.ts"
import { replaceAtOnce } from "../files/replace.ts"
import { isObject } from "../objects.ts"
import type { StartRequest, VolumeUse } from "./interfaces.ts"

/**
 * In the instance's directory: which volumes it has. Apart from the record, and of a form that no version changes, so
 * that what cannot be read of the one costs nobody a volume (OVMS-VOL-011).
 */
const FILE = "volumes.json"

/** Throws the system's error. */
export function keepVolumes(directory: string, volumes: readonly VolumeUse[]): void {
  replaceAtOnce(join(directory, FILE), JSON.stringify(volumes))
}

/** The volumes of the instance in `directory`; undefined if nobody can say. Never throws. */
export function keptVolumes(directory: string): readonly VolumeUse[] | undefined {
  try {
    const value: unknown = JSON.parse(textIfPresent(join(directory, FILE)) ?? "")
    return Array.isArray(value) && value.every(isUse) ? value : undefined
  } catch {
    return undefined
  }
}

/** The volumes that a start with this request has; undefined if it is not known. */
export function askedVolumes(request: StartRequest | undefined): readonly VolumeUse[] | undefined {
  return request && (request.overrides?.volumes ?? [])
}

function isUse(value: unknown): value is VolumeUse {
  return isObject(value) && typeof value.name === "string"
}
