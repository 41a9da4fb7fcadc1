import { randomBytes } from "node:crypto"
import { OvmError } from "../errors.ts"
import type { InstanceInfo } from "./interfaces.ts"

/** What instances and volumes may be called (spec/runtime-api.md, spec/volumes.md): a file name and an argument. */
export const INSTANCE_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/
/** Whoever means an instance by its ID is not to get another one. */
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The wanted name if it is free, else OVM_NAME_IN_USE; without a wish one made from the image's name. */
export function chooseName(
  wanted: string | undefined,
  manifest: string,
  taken: Iterable<InstanceInfo>,
): string {
  const names = new Set([...taken].map((info) => info.name))
  if (wanted === undefined) {
    for (;;) {
      const name = `${stem(manifest)}-${randomBytes(2).toString("hex")}`
      if (!names.has(name)) return name
    }
  }
  if (!INSTANCE_NAME.test(wanted))
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      `name: ${JSON.stringify(wanted)} is not a letter or digit and up to 62 letters, digits, _, . or -`,
    )
  if (ID.test(wanted)) throw new OvmError("OVM_REQUEST_INVALID", `name: ${wanted} has the form of an ID`)
  if (names.has(wanted))
    throw new OvmError("OVM_NAME_IN_USE", `an instance is called ${wanted} already`, {
      hint: `ovm rm ${wanted}, or take another name`,
    })
  return wanted
}

/** "host:5000/demo/debian:12@sha256:…" → "debian". */
function stem(manifest: string): string {
  const last =
    manifest
      .split("@")[0]
      ?.split("/")
      .findLast((part) => part !== "") ?? ""
  return (
    (last.split(":")[0] ?? "")
      .replace(/[^a-zA-Z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 40) || "machine"
  )
}
