import { faultsError } from "./faults.ts"

/**
 * The time that SOURCE_DATE_EPOCH sets (reproducible-builds.org), RFC 3339; undefined if it is not set. Throws
 * OVM_SOURCE_INVALID.
 */
export function epochTime(seconds: string | undefined): string | undefined {
  if (seconds === undefined || seconds === "") return undefined
  const last = 253402300799 // the end of the year 9999, the last that RFC 3339 can write
  if (/^[0-9]{1,12}$/.test(seconds) && Number(seconds) <= last)
    return new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z")
  throw faultsError("SOURCE_DATE_EPOCH", [
    {
      document: "pack-source",
      pointer: "/metadata/created",
      requirement: "OVMS-SRC-013",
      code: "OVM_SOURCE_INVALID",
      message: "it is not a number of seconds since 1970",
    },
  ])
}

/** Now, or the time that is to stand for it (OVMS-PRV-021), in RFC 3339. Throws as `epochTime` does. */
export function timeNow(seconds: string | undefined): string {
  return epochTime(seconds) ?? new Date().toISOString()
}
