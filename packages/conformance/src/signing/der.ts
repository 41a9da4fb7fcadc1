/** ASN.1 in DER, as far as certificates and timestamps need it. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents)
  const size: number[] = []
  for (let rest = body.length; rest > 0; rest >>= 8) size.unshift(rest & 0xff)
  const length = body.length < 128 ? [body.length] : [0x80 | size.length, ...size]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}

export const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts)
export const setOf = (...parts: readonly Uint8Array[]) => der(0x31, ...parts)
export const octets = (bytes: Uint8Array) => der(0x04, bytes)
export const bits = (bytes: Uint8Array) => der(0x03, Buffer.from([0]), bytes)
export const utf8String = (text: string) => der(0x0c, Buffer.from(text))
export const yes = der(0x01, Buffer.from([0xff]))

/** Of a context's own; `inside` where it holds further elements. */
export const context = (number: number, inside: boolean, ...parts: readonly Uint8Array[]) =>
  der((inside ? 0xa0 : 0x80) | number, ...parts)

/** Of one that is below 128. */
export const integer = (value: number) => der(0x02, Buffer.from([value]))

/** An object identifier in dotted decimals. */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number)
  const arcs = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f]
    for (let left = arc >> 7; left > 0; left >>= 7) digits.unshift(0x80 | (left & 0x7f))
    return digits
  })
  return der(0x06, Buffer.from(arcs))
}

/** GeneralizedTime, in whole seconds. */
export function time(at: Date): Buffer {
  return der(0x18, Buffer.from(`${at.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`))
}

/** UTCTime, as certificates have it until 2049 (RFC 5280). */
export function shortTime(at: Date): Buffer {
  return der(0x17, time(at).subarray(4))
}

/** ECDSA with SHA-256, as an algorithm. */
export const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"))
export const SHA256 = sequence(oid("2.16.840.1.101.3.4.2.1"))
