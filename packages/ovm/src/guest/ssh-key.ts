import { generateKeyPairSync, randomBytes } from "node:crypto"

/** A key pair as OpenSSH's programs read it. */
export interface SshKey {
  /** The whole file, for its owner alone. */
  readonly privateKey: string
  /** The line of authorized_keys, without an end. */
  readonly publicKey: string
}

const KIND = "ssh-ed25519"
const WIDTH = 70

/** A new Ed25519 key without a passphrase. `comment` stands beside it; a word. */
export function newSshKey(comment: string): SshKey {
  const { d = "", x = "" } = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" })
  const seed = Buffer.from(d, "base64url")
  const point = Buffer.from(x, "base64url")
  const open = Buffer.concat([text(KIND), text(point)])
  return {
    privateKey: pem(Buffer.concat([HEAD, text(open), text(secret(open, seed, point, comment))])),
    publicKey: `${KIND} ${open.toString("base64")} ${comment}`,
  }
}

/** Without a cipher, a way to make its key of a passphrase, and options of that; and one key (PROTOCOL.key). */
const HEAD = Buffer.concat([Buffer.from("openssh-key-v1\0"), text("none"), text("none"), text(""), number(1)])

/** What would be encrypted: begins with one number twice, by which a passphrase is seen to be right. */
function secret(open: Buffer, seed: Buffer, point: Buffer, comment: string): Buffer {
  const check = randomBytes(4)
  const key = [check, check, open, text(Buffer.concat([seed, point])), text(comment)]
  const length = key.reduce((sum, part) => sum + part.length, 0)
  const padding = Buffer.from(Array.from({ length: (8 - (length % 8)) % 8 }, (_, at) => at + 1))
  return Buffer.concat([...key, padding])
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString("base64").match(new RegExp(`.{1,${WIDTH}}`, "g")) ?? []
  return ["-----BEGIN OPENSSH PRIVATE KEY-----", ...lines, "-----END OPENSSH PRIVATE KEY-----", ""].join("\n")
}

function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string)
  return Buffer.concat([number(bytes.length), bytes])
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
