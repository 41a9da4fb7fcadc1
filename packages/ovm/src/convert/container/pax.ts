const ATTRIBUTE = "SCHILY.xattr."
/** Beyond what 34 bits say of a time, or 32 of an owner, nothing can be kept. */
const [FIRST_SECOND, LAST_SECOND, MOST_ID] = [-(2 ** 31), 2 ** 34 - 2 ** 31 - 1, 2 ** 32 - 2]

/** What comes before an entry and says something of it, in place of its header. */
export interface Extra {
  name?: string
  link?: string
  size?: number
  uid?: number
  gid?: number
  seconds?: number
  nanoseconds?: number
  attributes?: Map<string, string>
}

/** Puts what the records say into `extra`. Returns why they cannot be understood. */
export function readPax(bytes: Uint8Array, extra: Extra): string | undefined {
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at < block.length; ) {
    const space = block.indexOf(0x20, at)
    const digits = space < 0 ? "" : block.toString("latin1", at, space)
    const end = /^[1-9][0-9]{0,8}$/.test(digits) ? at + Number(digits) : 0
    const equals = block.indexOf(0x3d, space)
    if (end <= space || end > block.length || block[end - 1] !== 0x0a || equals < 0 || equals >= end)
      return "a record of its pax header is none"
    const reason = record(
      block.toString("latin1", space + 1, equals),
      block.toString("latin1", equals + 1, end - 1),
      extra,
    )
    if (reason) return reason
    at = end
  }
  return undefined
}

function record(key: string, value: string, extra: Extra): string | undefined {
  if (key.startsWith("GNU.sparse.")) return "it is a sparse file"
  if (key.startsWith(ATTRIBUTE)) {
    extra.attributes ??= new Map()
    extra.attributes.set(key.slice(ATTRIBUTE.length), value)
  } else if (key === "path") extra.name = value
  else if (key === "linkpath") extra.link = value
  else if (key === "mtime") return time(value, extra)
  else if (key === "size" || key === "uid" || key === "gid") {
    if (!/^[0-9]{1,15}$/.test(value)) return `its ${key} is no number`
    extra[key] = Number(value)
  }
  return undefined
}

function time(value: string, extra: Extra): string | undefined {
  const [, sign, whole, part = ""] = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value) ?? []
  if (whole === undefined) return "its mtime is no time"
  const nanoseconds = Number(part.slice(0, 9).padEnd(9, "0"))
  const before = sign === "-" && nanoseconds > 0
  extra.seconds = (sign === "-" ? -Number(whole) : Number(whole)) - (before ? 1 : 0)
  extra.nanoseconds = before ? 1e9 - nanoseconds : nanoseconds
  return undefined
}

/** Why what is said of owner and time cannot be kept. */
export function unkeepable(uid: number, gid: number, seconds: number): string | undefined {
  if (uid < 0 || uid > MOST_ID || gid < 0 || gid > MOST_ID) return "its owner is no number of 32 bits"
  return seconds < FIRST_SECOND || seconds > LAST_SECOND ? "its time is none that ext4 can keep" : undefined
}
