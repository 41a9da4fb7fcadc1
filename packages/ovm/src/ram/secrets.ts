// What secrets look like in RAM (spec/snapshot.md, "Confidentiality").

/** The longest that is looked at from where something begins, in bytes: what is longer is recognised by its head. */
export const SECRET_LIMIT = 4096

interface Kind {
  readonly kind: string
  /** What it begins with: only there the pattern is tried. */
  readonly anchors: readonly string[]
  /** From an anchor on. Each byte is one character. */
  readonly pattern: RegExp
}

/** Bytes in hexadecimal, each as one character. */
const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex").toString("latin1")
/** A pattern of bytes in hexadecimal, where `..` is any byte and the rest as in any pattern. */
const pattern = (...alternatives: string[]) =>
  new RegExp(
    alternatives
      .map((one) =>
        one.replace(/[0-9a-f]{2}|\.\.| /g, (word) => (word === ".." ? "." : word.trim() && `\\x${word}`)),
      )
      .join("|"),
    "sy",
  )

/** PKCS #8 (RFC 5208) from its version on: version 0, then the algorithm. */
const RSA = "02 01 00 30 0d 06 09 2a 86 48 86 f7 0d 01 01 01 05 00 04 82"
const P256 = "02 01 00 30 13 06 07 2a 86 48 ce 3d 02 01 06 08"
const OTHER_CURVE = "02 01 00 30 10 06 07 2a 86 48 ce 3d 02 01 06 05"
/** From its beginning on, which is always the same. */
const ED25519 = "30 2e 02 01 00 30 05 06 03 2b 65 70 04 22 04 20"
/** PROTOCOL.key of OpenSSH: "openssh-key-v1", zero, then a cipher's name with its length, from four letters on. */
const OPENSSH = "6f 70 65 6e 73 73 68 2d 6b 65 79 2d 76 31 00"

const KINDS: readonly Kind[] = [
  {
    kind: "private-key",
    anchors: ["-----BEGIN "],
    pattern:
      /-----BEGIN (?:[A-Z0-9 ]{1,40} )?PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\r\\n|\\n)(?:[A-Za-z-]{1,32}: [ -~]{0,200}\r?\n){0,8}(?:\r?\n)?[A-Za-z0-9+/=]{16}/y,
  },
  {
    kind: "private-key-binary",
    anchors: [RSA, P256, OTHER_CURVE, ED25519, OPENSSH].map(bytes),
    pattern: pattern(
      `${RSA} .. .. 30 82 .. .. 02 01 00 02 82`,
      `${P256} .. .. .. .. .. .. .. .. 04`,
      `${OTHER_CURVE} .. .. .. .. .. 04`,
      ED25519,
      `${OPENSSH} 00 00 00 .. [61-7a]`,
    ),
  },
  {
    kind: "putty-private-key",
    anchors: ["PuTTY-User-Key-File-"],
    pattern: /PuTTY-User-Key-File-[23]: [a-z]/y,
  },
  { kind: "aws-access-key", anchors: ["AKIA", "ASIA"], pattern: /A[KS]IA[A-Z2-7]{16}(?![A-Z2-7])/y },
  {
    kind: "github-token",
    anchors: ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
    pattern: /gh[pousr]_[A-Za-z0-9]{36}(?![A-Za-z0-9])|github_pat_[A-Za-z0-9_]{82}(?![A-Za-z0-9_])/y,
  },
  { kind: "gitlab-token", anchors: ["glpat-"], pattern: /glpat-[A-Za-z0-9_-]{20}/y },
  { kind: "slack-token", anchors: ["xox"], pattern: /xox[bpars]-[0-9]{8,20}-[A-Za-z0-9-]{10}/y },
  {
    kind: "gcp-service-account",
    anchors: ['"type"'],
    pattern: /"type"[ \t]{0,8}:[ \t]{0,8}"service_account"/y,
  },
  { kind: "google-api-key", anchors: ["AIza"], pattern: /AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])/y },
  { kind: "npm-token", anchors: ["npm_"], pattern: /npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])/y },
  {
    kind: "jwt",
    anchors: ["eyJ"],
    pattern: /eyJ[A-Za-z0-9_-]{10,1021}\.eyJ[A-Za-z0-9_-]{10,2045}\.[A-Za-z0-9_-]{16}/y,
  },
]

/** Their names, in the order of the numbers that `findSecrets` gives. */
export const SECRET_KINDS: readonly string[] = KINDS.map(({ kind }) => kind)

const searches = KINDS.flatMap(({ anchors, pattern }, kind) =>
  anchors.map((anchor) => ({
    kind,
    anchor: Buffer.from(anchor, "latin1"),
    pattern,
    isWord: /^[A-Za-z0-9]/.test(anchor),
  })),
)

/**
 * Calls `found` with the kind's number and the place in `memory` for everything that begins at `from` or later and
 * before `to`. What goes on behind `to` is looked at for as far as `memory` reaches, and so is the byte before `from`.
 */
export function findSecrets(
  memory: Buffer,
  from: number,
  to: number,
  found: (kind: number, at: number) => void,
): void {
  for (const { kind, anchor, pattern, isWord } of searches)
    for (let at = memory.indexOf(anchor, from); at >= 0 && at < to; at = memory.indexOf(anchor, at + 1)) {
      if (isWord && at > 0 && isLetter(memory[at - 1])) continue
      pattern.lastIndex = 0
      if (pattern.test(memory.toString("latin1", at, at + SECRET_LIMIT))) found(kind, at)
    }
}

/** Or a digit or `_`. */
function isLetter(byte = 0): boolean {
  return byte === 0x5f || (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a)
}
