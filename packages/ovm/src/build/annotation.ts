import type { MachineSettings } from "./settings.ts"
import { machineSettingsIn } from "./settings-read.ts"

/** The annotation of an OCI manifest that has what was said of what runs in the machine (OVMS-BLD-030). */
const SETTINGS = "ovms.settings"

export function settingsAnnotation(settings: MachineSettings): Readonly<Record<string, string>> {
  return { [SETTINGS]: JSON.stringify(settings) }
}

/** Of others. */
export function settingsAnnotated(annotations: Readonly<Record<string, string>> = {}): MachineSettings {
  try {
    return machineSettingsIn(JSON.parse(annotations[SETTINGS] ?? "{}"))
  } catch {
    return {}
  }
}
