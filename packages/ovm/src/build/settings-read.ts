import { isObject } from "../objects.ts"
import type { MachineSettings } from "./settings.ts"

const TEXT = (value: unknown) => typeof value === "string" && value !== "" && !value.includes("\0")
const TEXTS = (value: unknown) =>
  Array.isArray(value) && value.every((one) => typeof one === "string" && !one.includes("\0"))
const TEXTS_BY_NAME = (value: unknown) =>
  isObject(value) && Object.values(value).every((one) => typeof one === "string")
const NAMES = (value: unknown) => isObject(value)

const MEMBERS: Readonly<Record<keyof MachineSettings, (value: unknown) => boolean>> = {
  User: TEXT,
  Env: TEXTS,
  Entrypoint: TEXTS,
  Cmd: TEXTS,
  WorkingDir: (value) => TEXT(value) && `${value}`.startsWith("/"),
  Labels: TEXTS_BY_NAME,
  Volumes: NAMES,
  ExposedPorts: NAMES,
  StopSignal: TEXT,
  Healthcheck: (value) => isObject(value) && TEXTS(value.Test),
  Shell: TEXTS,
}

/** Of what others wrote: what is not as it should be is not there. */
export function machineSettingsIn(value: unknown): MachineSettings {
  if (!isObject(value)) return {}
  const known = Object.entries(MEMBERS).filter(([name, is]) => Object.hasOwn(value, name) && is(value[name]))
  return Object.fromEntries(known.map(([name]) => [name, value[name]]))
}
